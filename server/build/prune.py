"""Removes whole decoder layers of a StarCoder2 and saves what is left as an ordinary checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoTokenizer, Starcoder2ForCausalLM

from configs.variant import Prune
from server.build.layer_rules import check_enough, named_layers
from server.build.layer_scores import angular_distance, block_influence, mean_scores, sample_states
from starwatt_errors import BuildError
from traces.atomic import write_json

RECORD = "pruning.json"
"""Beside the weights: which layers of the source were removed and kept, and the scores that chose them."""


def prune_layers(source: Path, out: Path, prune: Prune) -> None:
    """Remove the layers that ``prune`` names or chooses; numbers and configuration follow, and a smoke load proves it.

    The weights keep the format they are stored in.

    Raises:
        BuildError: the model has fewer layers than that, none would be left, or what was saved does not load.
    """
    model = Starcoder2ForCausalLM.from_pretrained(source, dtype="auto")
    if torch.cuda.is_available():
        model = model.to("cuda")
    removed, scores = choose_layers(model, source, prune)
    keep = [index for index in range(len(model.model.layers)) if index not in removed]
    drop_layers(model, keep)
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(source).save_pretrained(out)
    write_json(out / RECORD, {"removed": removed, "kept": keep, "scores": scores})
    _check_loads(out, len(keep))


def choose_layers(
    model: Starcoder2ForCausalLM, source: Path, prune: Prune
) -> tuple[list[int], list[float] | None]:
    """The layers to remove, sorted, and the scores they were chosen by (None where they were named).

    Raises:
        BuildError: there are not so many, or none would be left.
    """
    count = len(model.model.layers)
    if prune.block_influence is not None:
        check_enough(prune.block_influence, count)
        samples = sample_states(model, source, last_token_only=False)
        scores = mean_scores(map(block_influence, samples))
        least = sorted(range(count), key=lambda index: (scores[index], index))
        return sorted(least[: prune.block_influence]), scores
    if prune.angular_distance is not None:
        check_enough(prune.angular_distance, count)
        samples = sample_states(model, source, last_token_only=True)
        scores = mean_scores(angular_distance(states, prune.angular_distance) for states in samples)
        start = min(range(len(scores)), key=lambda index: (scores[index], index))
        return list(range(start, start + prune.angular_distance)), scores
    return named_layers(prune, count), None


def drop_layers(model: Starcoder2ForCausalLM, keep: list[int]) -> None:
    """Leave the layers ``keep``, in order; numbers (the KV cache goes by them) and configuration follow."""
    layers = [model.model.layers[index] for index in keep]
    for index, layer in enumerate(layers):
        layer.self_attn.layer_idx = index
    model.model.layers = torch.nn.ModuleList(layers)
    model.config.num_hidden_layers = len(keep)
    layer_types = getattr(model.config, "layer_types", None)
    if layer_types is not None:
        model.config.layer_types = [layer_types[index] for index in keep]


def _check_loads(out: Path, layers: int) -> None:
    """Check that what was saved loads whole, with nothing missing, and answers numbers."""
    model, told = Starcoder2ForCausalLM.from_pretrained(out, dtype="auto", output_loading_info=True)
    amiss = [*told["missing_keys"], *told["unexpected_keys"], *told["mismatched_keys"]]
    with torch.no_grad():
        logits = model(torch.tensor([[0, 1, 2]])).logits
    if amiss or len(model.model.layers) != layers or not bool(torch.isfinite(logits).all()):
        raise BuildError(f"the pruned checkpoint does not load as it should: {', '.join(map(str, amiss))}")
