"""llm-compressor's formats reach every matrix, and AWQ is better for it on code it has not seen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoTokenizer, CompressedTensorsConfig, Starcoder2ForCausalLM

from configs.variant import W4A16, W8A8, W8A16, Awq, Compressed, Fp8, Gptq
from server.build.calibration_text import calibration_batches
from server.build.compress import quantize_compressed
from server.build.families import smoothing
from server.build.families.layers import drop_layers
from tests.server.build.conftest import SMALL

pytestmark = [
    pytest.mark.filterwarnings("ignore:Attempting to save a model with offloaded modules"),
    pytest.mark.filterwarnings("ignore:You passed `quantization_config`"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

MATRICES = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.c_fc",
    "mlp.c_proj",
)
HELD_OUT = ("shlex", "string", "tokenize")


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Everything that is stored."""
    with safe_open(folder / "model.safetensors", "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- no mapping


@pytest.mark.parametrize(
    ("quantization", "name", "dtype", "bits"),
    [
        (W8A16(kind="int8-w8a16"), "weight_packed", torch.int32, 8),
        (W4A16(kind="int4-w4a16"), "weight_packed", torch.int32, 4),
        (W8A8(kind="int8-w8a8"), "weight", torch.int8, 8),
        (Fp8(kind="fp8"), "weight", torch.float8_e4m3fn, 8),
        pytest.param(Gptq(kind="gptq"), "weight_packed", torch.int32, 4, marks=pytest.mark.long),
    ],
)
def test_every_matrix_of_every_layer_is_stored_in_the_format(
    small: Path, tmp_path: Path, quantization: Compressed, name: str, dtype: torch.dtype, bits: int
) -> None:
    quantize_compressed(small, tmp_path, quantization)
    stored = tensors(tmp_path)
    rows = {"mlp.c_fc": 256}
    columns = {"mlp.c_proj": 256}
    for layer in range(SMALL["num_hidden_layers"]):
        for matrix in MATRICES:
            weight = stored[f"model.layers.{layer}.{matrix}.{name}"]
            assert weight.dtype == dtype
            wide = columns.get(matrix, 128)
            tall = rows.get(matrix, 64 if matrix[10:] in ("k_proj", "v_proj") else 128)
            assert weight.numel() * weight.element_size() == tall * wide * bits // 8
    assert not [key for key in stored if key.startswith("lm_head")]


def mlp_error(original: Path, quantised: Starcoder2ForCausalLM, smoothed: bool) -> list[float]:
    """By layer: the squared error of norm -> c_fc on held-out code, relative, with the original's own inputs."""
    model = Starcoder2ForCausalLM.from_pretrained(original, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(original)
    ids = torch.tensor(calibration_batches(tokenizer, HELD_OUT)["input_ids"][:8])
    seen: dict[int, torch.Tensor] = {}
    for index, layer in enumerate(model.model.layers):
        layer.post_attention_layernorm.register_forward_pre_hook(
            lambda _, args, index=index: seen.__setitem__(index, args[0])
        )
    errors = []
    with torch.no_grad():
        model(ids, use_cache=False)
        for index, layer in enumerate(model.model.layers):
            other = quantised.model.layers[index]
            norm = other.post_attention_layernorm if smoothed else layer.post_attention_layernorm
            true = layer.mlp.c_fc(layer.post_attention_layernorm(seen[index]))
            weight = other.mlp.c_fc.weight.float()
            got = torch.nn.functional.linear(norm.float()(seen[index]), weight, layer.mlp.c_fc.bias)
            errors.append(float((got - true).square().mean() / true.square().mean()))
    return errors


def uneven(small: Path, out: Path) -> None:
    """Two layers, with some channels behind the norms far louder than the others, as in models that have learnt."""
    model = Starcoder2ForCausalLM.from_pretrained(small, dtype=torch.float32)
    drop_layers(model, [0, 1])
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for layer in model.model.layers:
            loud = torch.randperm(128, generator=generator)[:6]
            layer.post_attention_layernorm.weight[loud] *= 12
    model.to(torch.bfloat16).save_pretrained(out)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (out / name).write_bytes((small / name).read_bytes())


def rounded_to_nearest(source: Path, group: int) -> Starcoder2ForCausalLM:
    """The model with c_fc in the same 4-bit grid as int4-awq's (asymmetric, groups), without any smoothing."""
    model = Starcoder2ForCausalLM.from_pretrained(source, dtype=torch.float32)
    with torch.no_grad():
        for layer in model.model.layers:
            weight = layer.mlp.c_fc.weight
            groups = weight.view(-1, group)
            low = groups.amin(1, keepdim=True).clamp(max=0)
            scale = (groups.amax(1, keepdim=True).clamp(min=0) - low) / 15
            point = (-low / scale).round()
            codes = ((groups / scale).round() + point).clamp(0, 15)
            weight.copy_(((codes - point) * scale).view_as(weight))
    return model


def test_awq_reaches_the_mlp_and_beats_rounding_to_the_nearest_on_held_out_code(
    small: Path, tmp_path: Path
) -> None:
    source, out = tmp_path / "uneven", tmp_path / "awq"
    uneven(small, source)
    quantize_compressed(source, out, Awq(kind="awq", group_size=128))
    stored, before = tensors(out), tensors(source)
    for layer in range(2):
        for matrix in MATRICES:
            assert f"model.layers.{layer}.{matrix}.weight_packed" in stored
        norm = f"model.layers.{layer}.post_attention_layernorm.weight"
        assert not torch.equal(stored[norm], before[norm]), "smoothing changes the norm before the MLP"
    awq = Starcoder2ForCausalLM.from_pretrained(
        out, dtype=torch.float32, quantization_config=CompressedTensorsConfig(dequantize=True)
    )
    smoothed = mlp_error(source, awq, smoothed=True)
    plain = mlp_error(source, rounded_to_nearest(source, 128), smoothed=False)
    assert sum(smoothed) < 0.8 * sum(plain), (smoothed, plain)


def test_mappings_that_reach_nothing_are_an_error_and_no_plain_rounding(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = (smoothing.STARCODER2[0], ("re:.*post_attention_layernorm$", ("re:.*mlp.up_proj$",)))
    monkeypatch.setitem(smoothing._OURS, "Starcoder2ForCausalLM", wrong)
    with pytest.raises(Exception, match=r"(?i)c_fc|mapping|match"):
        quantize_compressed(small, tmp_path, Awq(kind="awq", group_size=128))


@pytest.mark.skipif(torch.cuda.is_available(), reason="pinning works where there is an accelerator")
def test_the_work_around_for_pinned_memory_is_still_needed() -> None:
    from llmcompressor.pipelines.cache import IntermediatesCache

    cache = IntermediatesCache.empty(1, torch.device("cpu"))
    cache.update(0, {"hidden": torch.zeros(4)})
    with pytest.raises(RuntimeError):
        cache.pin_memory(0)
