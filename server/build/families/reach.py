"""See how much of a model's layers a quantiser reaches, by names and shapes alone."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from configs.variant import BitsAndBytes, Compressed
from starwatt_errors import BuildError

LEAST = 0.9
"""The share of the weights in matrices that a quantiser must reach: what is left out is served as it was."""


def check_reached(model: PreTrainedModel, quantization: BitsAndBytes | Compressed) -> None:
    """Raise BuildError where ``quantization`` reaches less than ``LEAST`` of the matrices of a model's layers."""
    bitsandbytes = isinstance(quantization, BitsAndBytes)
    if not bitsandbytes and _experts_are_unfolded(model):
        return
    kinds: tuple[type[torch.nn.Module], ...] = (
        (torch.nn.Linear, Conv1D) if bitsandbytes else (torch.nn.Linear,)
    )
    share, missed = reached(model, kinds)
    if share < LEAST:
        tool = "bitsandbytes" if bitsandbytes else "llm-compressor"
        which = "no matrix" if share == 0 else f"{share:.0%} of the weights"
        raise BuildError(
            f"{type(model).__name__}: {tool} reaches {which} of its layers: the rest lies in "
            f"{', '.join(missed)}, which it does not quantise; bf16 and what does reach it can be measured, and "
            "ready-made serves what somebody else has quantised"
        )


def reached(model: PreTrainedModel, kinds: tuple[type[torch.nn.Module], ...]) -> tuple[float, list[str]]:
    """Return the share of a model's weights that lie in modules of ``kinds``, and the classes that the others lie in.

    Weights are those of matrices beside embeddings and head; classes come with the largest first.
    """
    left_out = {id(model.get_input_embeddings()), id(model.get_output_embeddings())}
    inside, missed = 0, dict[str, int]()
    for module in model.modules():
        if id(module) in left_out or isinstance(module, torch.nn.Embedding):
            continue
        size = sum(parameter.numel() for parameter in module.parameters(recurse=False) if parameter.dim() > 1)
        if isinstance(module, kinds):
            inside += size
        elif size:
            name = type(module).__name__
            missed[name] = missed.get(name, 0) + size
    total = inside + sum(missed.values())
    return (inside / total if total else 0.0), sorted(missed, key=missed.__getitem__, reverse=True)


def _experts_are_unfolded(model: PreTrainedModel) -> bool:
    """Say whether llm-compressor makes linear layers of all of a mixture's experts before it begins."""
    from llmcompressor.modeling.moe.linearize import get_non_linearized_moes

    return bool(get_non_linearized_moes(model))
