"""Layers are removed by position and by what they do, and what is left computes what the truncated model computes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from transformers import Starcoder2ForCausalLM

from configs.variant import Prune
from server.build.layer_rules import named_layers
from server.build.layer_scores import angular_distance, block_influence
from server.build.prune import RECORD, choose_layers, prune_layers
from starwatt_errors import BuildError
from traces.atomic import read_json

IDS = torch.arange(2, 42)[None]


def load(folder: Path) -> Starcoder2ForCausalLM:
    """The model as it is stored."""
    return Starcoder2ForCausalLM.from_pretrained(folder, dtype="auto")


@pytest.mark.parametrize(
    ("rule", "removed"),
    [
        ({"last": 1}, [5]),
        ({"last": 5}, [1, 2, 3, 4, 5]),
        ({"first": 2}, [0, 1]),
        ({"middle": 2}, [2, 3]),
        ({"middle": 3}, [1, 2, 3]),
        ({"every": 2}, [1, 3, 5]),
        ({"every": 3}, [2, 5]),
        ({"layers": [4, 0]}, [0, 4]),
    ],
)
def test_rules_by_position_remove_what_they_say(rule: dict[str, object], removed: list[int]) -> None:
    assert named_layers(Prune.model_validate(rule), 6) == removed


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"last": 6}, "cannot remove 6 of 6 layers: at least one must be left"),
        ({"first": 7}, "cannot remove 7 of 6 layers"),
        ({"middle": 6}, "cannot remove 6 of 6 layers"),
        ({"layers": [0, 6]}, "there is no layer 6: the model has 0 to 5"),
        ({"layers": [0, 1, 2, 3, 4, 5]}, "cannot remove 6 of 6 layers"),
        ({"every": 7}, "the model has 6 layers: it has no 7-th"),
        ({"block_influence": 6}, "cannot remove 6 of 6 layers"),
        ({"angular_distance": 6}, "cannot remove 6 of 6 layers"),
    ],
)
def test_more_layers_than_there_are_is_an_error(small: Path, rule: dict[str, object], message: str) -> None:
    with pytest.raises(BuildError, match=message):
        choose_layers(load(small), small, Prune.model_validate(rule))


@pytest.mark.parametrize("rule", [{}, {"last": 1, "first": 1}, {"last": 0}, {"every": 1}, {"layers": [1, 1]}])
def test_a_rule_that_says_nothing_or_two_things_is_refused(rule: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Prune.model_validate(rule)


@pytest.mark.parametrize(
    "rule", [{"last": 1}, {"first": 2}, {"middle": 2}, {"every": 2}, {"layers": [0, 3]}, {"last": 5}]
)
def test_a_pruned_checkpoint_computes_what_the_truncated_model_computes(
    small: Path, tmp_path: Path, rule: dict[str, object]
) -> None:
    prune = Prune.model_validate(rule)
    prune_layers(small, tmp_path, prune)
    pruned, whole = load(tmp_path), load(small)
    removed = named_layers(prune, 6)
    keep = [index for index in range(6) if index not in removed]
    assert read_json(tmp_path / RECORD) == {"removed": removed, "kept": keep, "scores": None}
    assert pruned.config.num_hidden_layers == len(pruned.model.layers) == len(keep)
    with torch.no_grad():
        untouched = whole(IDS, use_cache=False).logits
        whole.model.layers = torch.nn.ModuleList([whole.model.layers[index] for index in keep])
        truncated = whole(IDS, use_cache=False).logits
        assert torch.equal(pruned(IDS, use_cache=False).logits, truncated)
        generated = pruned.generate(IDS, max_new_tokens=4, do_sample=False, eos_token_id=None)
    assert not torch.equal(truncated, untouched), "the layers that were cut did something"
    for length in range(IDS.shape[1], generated.shape[1]):  # the KV cache goes by the new numbers
        with torch.no_grad():
            best = whole(generated[:, :length], use_cache=False).logits[0, -1].argmax()
        assert generated[0, length] == best


def test_influence_is_one_minus_the_cosine_and_angular_distance_its_angle() -> None:
    right, up = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    states = torch.stack([right, right * 3, up, -right]).unsqueeze(1)  # unturned, 90 degrees, 90 degrees
    assert block_influence(states) == pytest.approx([0.0, 1.0, 1.0])
    assert angular_distance(states, 1) == pytest.approx([0.0, 0.5, 0.5], abs=1e-6)
    assert angular_distance(states, 2) == pytest.approx([0.5, 1.0])


def idle_layers(small: Path, out: Path, layers: tuple[int, ...]) -> None:
    """The model with layers whose outputs are silenced: they pass on what they get."""
    model = load(small)
    for index in layers:
        layer = model.model.layers[index]
        for matrix in (layer.self_attn.o_proj, layer.mlp.c_proj):
            torch.nn.init.zeros_(matrix.weight)
            torch.nn.init.zeros_(matrix.bias)
    model.save_pretrained(out)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (out / name).write_bytes((small / name).read_bytes())


@pytest.mark.parametrize(
    ("rule", "idle", "removed"),
    [
        ({"block_influence": 2}, (1, 4), [1, 4]),
        ({"angular_distance": 2}, (3, 4), [3, 4]),
    ],
)
def test_targeted_pruning_finds_the_layers_that_do_nothing(
    small: Path, tmp_path: Path, rule: dict[str, object], idle: tuple[int, ...], removed: list[int]
) -> None:
    idle_layers(small, tmp_path, idle)
    chosen, scores = choose_layers(load(tmp_path), tmp_path, Prune.model_validate(rule))
    assert chosen == removed
    assert scores is not None
    if "block_influence" in rule:
        assert [scores[index] for index in removed] == pytest.approx([0, 0], abs=1e-6)
        assert min(score for index, score in enumerate(scores) if index not in removed) > 1e-4
    else:
        assert scores[removed[0]] == min(scores)
