"""Find which norm feeds which matrices: what AWQ and SmoothQuant divide the one by, the others are multiplied by.

llm-compressor's own mappings where it has them for a class of models, ours for StarCoder2, else what the module graph
shows: a norm whose output is the very input of linear layers. That nothing else uses this output is proven by trying:
scaled by powers of two, which are exact in floating point, the model must answer what it answered before.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, Literal

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from server.build.families.kinds import has_experts
from server.build.families.layers import decoder_layers, first_layer_of
from server.build.families.loading import empty_model
from starwatt_errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterator

Algorithm = Literal["awq", "smoothquant"]

# llm-compressor's defaults are written for gated MLPs; StarCoder2's is c_fc and c_proj. Behind c_fc comes a GELU,
# through which no scale can be moved: c_proj and o_proj are quantised unsmoothed.
STARCODER2 = (
    ("re:.*input_layernorm$", ("re:.*q_proj$", "re:.*k_proj$", "re:.*v_proj$")),
    ("re:.*post_attention_layernorm$", ("re:.*mlp.c_fc$",)),
)
_OURS = {"Starcoder2ForCausalLM": STARCODER2}
_FACTORS = (1.0, 2.0, 0.5)
_TOKENS = 8


@dataclass(frozen=True)
class Fed:
    """One norm, and the linear layers that take its output and nothing else does: full names, or patterns of them."""

    norm: str
    matrices: tuple[str, ...]


def mappings_of(model: PreTrainedModel, algorithm: Algorithm) -> list[Fed] | None:
    """Return what ``algorithm`` smooths of ``model``; None: llm-compressor has mappings of its own for it.

    Raises:
        BuildError: it has none, and none can be found.
    """
    kind = type(model).__name__
    if kind in _OURS:
        return [Fed(norm, matrices) for norm, matrices in _OURS[kind]]
    if knows(kind, algorithm):
        return None
    proven = _proven(model, _candidates(model))
    if not proven:
        raise _cannot(kind, "no norm of its layers feeds linear layers and nothing else")
    return proven


def check_smoothed(config: PreTrainedConfig, algorithm: Algorithm) -> None:
    """See, on a model of one layer, that ``algorithm`` can smooth models of a configuration.

    Raises:
        BuildError: it cannot.
    """
    model = empty_model(first_layer_of(config)).to(torch.bfloat16)
    mappings_of(model.eval(), algorithm)


def _candidates(model: PreTrainedModel) -> list[Fed]:
    if has_experts(model.config.to_dict()):
        raise _cannot(type(model).__name__, "the experts of a mixture all take the same norm's output")
    return [fed for fed in fed_by_norms(model) if fed.matrices]


def _cannot(kind: str, why: str) -> BuildError:
    return BuildError(
        f"{kind} cannot be smoothed: llm-compressor has no mappings for it, and {why}; int4-gptq, int4-w4a16, "
        "int8-w8a16 and fp8 need none"
    )


def knows(kind: str, algorithm: Algorithm) -> bool:
    """Say whether llm-compressor has mappings for a class of models."""
    if algorithm == "awq":
        from llmcompressor.modifiers.transform.awq.dynamic_mappings import AWQ_DYNAMIC_MAPPING_REGISTRY
        from llmcompressor.modifiers.transform.awq.mappings import AWQ_MAPPING_REGISTRY

        return kind in AWQ_DYNAMIC_MAPPING_REGISTRY or kind in AWQ_MAPPING_REGISTRY
    from llmcompressor.modifiers.transform.smoothquant.dynamic_mappings import (
        SMOOTHQUANT_DYNAMIC_MAPPING_REGISTRY,
    )
    from llmcompressor.modifiers.transform.smoothquant.utils import MAPPINGS_REGISTRY

    return kind in SMOOTHQUANT_DYNAMIC_MAPPING_REGISTRY or kind in MAPPINGS_REGISTRY


def fed_by_norms(model: PreTrainedModel) -> list[Fed]:
    """Find by tracing one pass each norm within a decoder layer, and the linear layers whose input is its output."""
    path, layers = decoder_layers(model)
    made: dict[int, tuple[torch.Tensor, str]] = {}
    fed: dict[str, list[str]] = {}

    def note_output(name: str) -> Callable[..., None]:
        def hook(_module: torch.nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor):
                made[id(output)] = output, name  # kept, so that no other tensor gets its id
                fed.setdefault(name, [])

        return hook

    def note_input(name: str) -> Callable[..., None]:
        def hook(_module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
            norm = made.get(id(inputs[0])) if inputs else None
            if norm is not None and name not in fed[norm[1]]:
                fed[norm[1]].append(name)

        return hook

    with ExitStack() as hooks:
        for number, layer in enumerate(layers):
            for name, module in layer.named_modules(prefix=f"{path}.{number}"):
                if isinstance(module, torch.nn.Linear):
                    hooks.enter_context(module.register_forward_pre_hook(note_input(name)))
                elif is_norm(module):
                    hooks.enter_context(module.register_forward_hook(note_output(name)))
        _answer(model)
    return [Fed(norm, tuple(matrices)) for norm, matrices in fed.items()]


def is_norm(module: torch.nn.Module) -> bool:
    """Say whether a module scales its input channel by channel, and holds nothing else."""
    dimensions = {name: parameter.dim() for name, parameter in module.named_parameters()}
    return dimensions in ({"weight": 1}, {"weight": 1, "bias": 1})


def _proven(model: PreTrainedModel, candidates: list[Fed]) -> list[Fed]:
    """Return those whose scaling changes no answer, kind by kind: what holds in one layer must hold in all."""
    before = _answer(model)
    kinds: dict[str, list[Fed]] = {}
    for fed in candidates:
        kinds.setdefault(fed.norm.rpartition(".")[2], []).append(fed)
    proven: list[Fed] = []
    for members in kinds.values():
        with _scaled(model, members):
            after = _answer(model)
        if torch.equal(before, after):
            proven += members
    return proven


@contextmanager
def _scaled(model: PreTrainedModel, members: list[Fed]) -> Iterator[None]:
    """Within the block the norms are divided, and what they feed is multiplied, by powers of two."""

    def scale(*, back: bool) -> None:
        for fed in members:
            norm = model.get_submodule(fed.norm)
            width = norm.weight.shape[0]
            factors = torch.tensor(list(islice(cycle(_FACTORS), width)), device=norm.weight.device)
            if back:
                factors = 1 / factors
            for parameter in norm.parameters():
                parameter.data = parameter.data / factors.to(parameter.dtype)
            for name in fed.matrices:
                matrix = model.get_submodule(name)
                matrix.weight.data = matrix.weight.data * factors.to(matrix.weight.dtype)

    scale(back=False)
    try:
        yield
    finally:
        scale(back=True)


def _answer(model: PreTrainedModel) -> torch.Tensor:
    """Logits of a few tokens."""
    device = next(model.parameters()).device
    words = int(model.config.get_text_config().vocab_size)
    ids = torch.arange(_TOKENS, device=device)[None] % words
    with torch.no_grad():
        logits: torch.Tensor = model(ids, use_cache=False).logits
    return logits
