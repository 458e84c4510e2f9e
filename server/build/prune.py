"""Removes whole decoder layers of a model and saves what is left as an ordinary checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import PreTrainedModel

from configs.variant import Prune
from server.build.families.layers import decoder_layers, drop_layers, layer_count, traits
from server.build.families.loading import load_and_tell, load_model, load_tokenizer
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
    model = load_model(source, dtype="auto")
    if torch.cuda.is_available():
        model = model.to("cuda")
    removed, scores = choose_layers(model, source, prune)
    keep = [index for index in range(layer_count(model)) if index not in removed]
    drop_layers(model, keep)
    model.save_pretrained(out)
    load_tokenizer(source).save_pretrained(out)
    write_json(out / RECORD, {"removed": removed, "kept": keep, "scores": scores})
    _check_loads(out, model)


def choose_layers(model: PreTrainedModel, source: Path, prune: Prune) -> tuple[list[int], list[float] | None]:
    """Choose the layers to remove, sorted, and the scores they were chosen by (None where they were named).

    Raises:
        BuildError: the layers cannot be found, there are not so many, or none would be left.
    """
    count = len(decoder_layers(model)[1])
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


def _check_loads(out: Path, pruned: PreTrainedModel) -> None:
    """Check that what was saved loads whole, with layers of the kinds that were left, and answers numbers."""
    model, told = load_and_tell(out, dtype="auto")
    amiss = [*told["missing_keys"], *told["unexpected_keys"], *told["mismatched_keys"]]
    if amiss:
        raise BuildError(f"the pruned checkpoint does not load as it should: {', '.join(map(str, amiss))}")
    pairs = zip(decoder_layers(pruned)[1], decoder_layers(model)[1], strict=True)
    for number, (left, loaded) in enumerate(pairs):
        if traits(left) != traits(loaded):
            raise BuildError(
                f"{type(model).__name__}: what its layer {number} is depends on the layer's number, in a way not "
                "known here: it has no such pruned variant, while its other variants can be measured"
            )
    with torch.no_grad():
        logits = model(torch.tensor([[0, 1, 2]])).logits
    if not bool(torch.isfinite(logits).all()):
        raise BuildError("the pruned checkpoint answers no numbers")
