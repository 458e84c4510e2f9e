"""What becomes of weights: memorised models, pruned ones, and quantised ones (tiny, on the CPU)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoTokenizer, Starcoder2ForCausalLM

from configs.loader import load_architecture
from configs.schema import Architecture, Awq, Prune
from server.memorise import build_memorised
from server.prune import prune_layers
from server.quantize import CALIBRATION_SAMPLES, CALIBRATION_TOKENS, calibration_batches, quantize_awq
from server.store import file_digest
from starwatt_errors import BuildError

SMALL = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 3}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small memorised model after three steps of fitting: real files, no knowledge."""
    folder = tmp_path_factory.mktemp("small")
    build_memorised(_architecture(), folder)
    return folder


def _architecture() -> Architecture:
    preset = load_architecture("starcoder2-memorised")
    assert preset is not None
    weights = preset.weights.model_copy(update={"steps": 3, "batch": 2})
    return preset.model_copy(update={"weights": weights, "config": {**preset.config, **SMALL}})


def test_the_same_seed_fits_the_same_weights(small: Path, tmp_path: Path) -> None:
    build_memorised(_architecture(), tmp_path)
    assert file_digest(tmp_path / "model.safetensors") == file_digest(small / "model.safetensors")
    assert (tmp_path / "tokenizer.json").read_bytes() == (small / "tokenizer.json").read_bytes()


def test_a_pruned_checkpoint_computes_what_the_truncated_model_computes(small: Path, tmp_path: Path) -> None:
    prune_layers(small, tmp_path, Prune(last=1))
    pruned = Starcoder2ForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    whole = Starcoder2ForCausalLM.from_pretrained(small, dtype=torch.bfloat16)
    assert pruned.config.num_hidden_layers == 2
    assert len(pruned.model.layers) == 2
    ids = torch.arange(2, 42)[None]
    with torch.no_grad():
        untouched = whole(ids).logits
        whole.model.layers = whole.model.layers[:2]
        truncated = whole(ids).logits
        assert torch.equal(pruned(ids).logits, truncated)
    assert not torch.equal(truncated, untouched), "the layer that was cut did something"


def test_a_model_keeps_at_least_one_layer(small: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="cannot cut the last 3 of 3 layers"):
        prune_layers(small, tmp_path, Prune(last=3))


def test_calibration_text_is_the_same_every_time_and_as_long_as_asked(small: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(small)
    first, second = calibration_batches(tokenizer), calibration_batches(tokenizer)
    assert first == second
    assert len(first["input_ids"]) == CALIBRATION_SAMPLES
    assert {len(sample) for sample in first["input_ids"]} == {CALIBRATION_TOKENS}


@pytest.mark.long
def test_awq_reaches_attention_and_mlp_of_every_layer(small: Path, tmp_path: Path) -> None:
    quantize_awq(small, tmp_path, Awq(kind="awq", group_size=128))
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        names = set(file.keys())
        for layer in range(SMALL["num_hidden_layers"]):
            for module in ("self_attn.q_proj", "self_attn.o_proj", "mlp.c_fc", "mlp.c_proj"):
                assert f"model.layers.{layer}.{module}.weight_packed" in names
        smoothed = file.get_tensor("model.layers.0.post_attention_layernorm.weight")
    with safe_open(small / "model.safetensors", "pt") as file:
        before = file.get_tensor("model.layers.0.post_attention_layernorm.weight")
    assert not torch.equal(smoothed, before), "smoothing the MLP's input changes the norm before it"


@pytest.mark.skipif(torch.cuda.is_available(), reason="pinning works where there is an accelerator")
def test_the_work_around_for_pinned_memory_is_still_needed() -> None:
    from llmcompressor.pipelines.cache import IntermediatesCache

    cache = IntermediatesCache.empty(1, torch.device("cpu"))
    cache.update(0, {"hidden": torch.zeros(4)})
    with pytest.raises(RuntimeError):
        cache.pin_memory(0)
