"""Layers of every family are found and removed, and what is saved is what was left."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from server.build.families import layers
from server.build.families.layers import decoder_layers, drop_layers
from server.build.families.loading import load_model
from server.build.prune import _check_loads
from starwatt_errors import BuildError
from tests.server.build.families.conftest import tiny

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of GPTBigCode's own module

IDS = torch.arange(3, 35)[None]
PRUNABLE = (
    "starcoder2", "qwen2", "qwen3", "llama", "mistral", "gpt_bigcode", "smollm3", "gemma2", "gpt_neox", "phi", "gptj",
    "qwen2_moe", "mamba",
)  # fmt: skip


@pytest.mark.parametrize("family", PRUNABLE)
def test_a_pruned_model_computes_what_the_truncated_one_computes(family: str, tmp_path: Path) -> None:
    model = tiny(family, torch.float32)
    path, whole = decoder_layers(model)
    kept = [whole[index] for index in (0, 2, 3)]
    drop_layers(model, [0, 2, 3])
    with torch.no_grad():
        truncated = model(IDS, use_cache=False).logits
    assert list(model.get_submodule(path)) == kept
    assert model.config.num_hidden_layers == 3
    model.save_pretrained(tmp_path)
    loaded = load_model(tmp_path, dtype="auto")
    with torch.no_grad():
        assert torch.equal(loaded(IDS, use_cache=False).logits, truncated)
        # with a cache, which goes by the layers' numbers
        cached = loaded.generate(IDS, max_new_tokens=3, do_sample=False, eos_token_id=None, pad_token_id=0)
        for length in range(IDS.shape[1], cached.shape[1]):
            best = loaded(cached[:, :length], use_cache=False).logits[0, -1].argmax()
            assert cached[0, length] == best


def test_settings_by_layer_follow_into_the_saved_configuration(tmp_path: Path) -> None:
    model = tiny("qwen2")
    drop_layers(model, [0, 2, 3])
    model.save_pretrained(tmp_path)
    config = load_model(tmp_path, dtype="auto").config
    assert config.layer_types == ["full_attention", "sliding_attention", "sliding_attention"]
    assert config.max_window_layers == 1, "so many of the first have no window"


def test_layers_that_depend_on_their_number_in_an_unknown_way_are_refused(tmp_path: Path) -> None:
    model = tiny("qwen3_moe")  # every second layer is a mixture of experts, by a period in the configuration
    drop_layers(model, [0, 2, 3])
    model.save_pretrained(tmp_path)
    with pytest.raises(BuildError, match=r"does not load as it should|depends on the layer's number"):
        _check_loads(tmp_path, model)


def test_a_model_whose_layers_are_no_list_is_refused_with_what_can_be_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny("llama")
    model.model.layers = torch.nn.Sequential(*model.model.layers)
    with pytest.raises(
        BuildError, match=r"LlamaForCausalLM: the 4 decoder layers cannot be found.*other variants"
    ):
        decoder_layers(model)
    again = tiny("llama")
    again.model.twin = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(4))
    with pytest.raises(BuildError, match=r"such lists are: model\.layers, model\.twin"):
        decoder_layers(again)


def test_traits_tell_layers_of_another_kind_apart_and_not_their_numbers() -> None:
    kinds = [layers.traits(layer) for layer in decoder_layers(tiny("qwen2"))[1]]
    assert kinds[0] == kinds[1] != kinds[2] == kinds[3]


def test_the_first_layer_alone_is_a_model_of_the_same_kind() -> None:
    config = layers.first_layer_of(tiny("qwen2").config)
    assert (config.num_hidden_layers, config.layer_types) == (1, ["full_attention"])
