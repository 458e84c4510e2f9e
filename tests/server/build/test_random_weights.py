"""Random weights are really written, really quantised, and never mostly zeros."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from configs.architecture import Architecture, RandomWeights
from configs.loader import ARCHITECTURES, load_architecture
from configs.variant import W4A16, W8A8, W8A16, Awq, BitsAndBytes, Compressed, Fp8, Gptq
from server.build.compress import quantize_compressed
from server.build.families.loading import made_config
from server.build.quantize import quantize_bitsandbytes
from server.build.random_weights import build_random, plan_shards, tensor_shapes
from server.build.shape import shape_of
from server.build.zero_codes import TOLERANCE, check_zero_codes, expected_share
from starwatt_errors import BuildError

pytestmark = [
    pytest.mark.filterwarnings("ignore:Attempting to save a model with offloaded modules"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
BILLIONS = {
    "starcoder2-3b": 3.03, "starcoder2-7b": 7.17, "starcoder2-15b": 15.96, "qwen2.5-coder-1.5b": 1.54,
    "qwen2.5-coder-7b": 7.62, "qwen3-1.7b": 1.72, "codellama-7b": 6.74, "deepseek-coder-6.7b": 6.74,
    "codestral-22b": 22.25,
}  # fmt: skip
"""Parameters, as their makers publish them."""
SHRUNK = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4}


def shrunk(name: str = "starcoder2-3b", **weights: float) -> tuple[Architecture, RandomWeights]:
    """A preset with few and narrow layers."""
    preset = load_architecture(name)
    assert preset is not None
    assert isinstance(preset.weights, RandomWeights)
    small = preset.weights.model_copy(update={"vocabulary": 2048, **weights})
    return preset.model_copy(update={"config": {**preset.config, **SHRUNK}, "weights": small}), small


@pytest.fixture(scope="module")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shrunk starcoder2-3b in several files."""
    folder = tmp_path_factory.mktemp("random")
    build_random(*shrunk(shard_gib=0.001), folder)
    return folder


@pytest.mark.parametrize("name", sorted(BILLIONS))
def test_the_presets_have_the_true_shapes(name: str) -> None:
    preset = load_architecture(name)
    assert preset is not None
    assert preset.weights.kind == "random"
    config = made_config(preset.family, vocab_size=preset.weights.vocabulary, **preset.settings)
    shapes = tensor_shapes(config)
    assert sum(shape.numel() for shape in shapes.values()) == pytest.approx(BILLIONS[name] * 1e9, rel=3e-3)
    shards = plan_shards(shapes, 2 * 2**30)
    assert [name for shard in shards for name in shard] == list(shapes)
    assert max(2 * sum(shapes[tensor].numel() for tensor in shard) for shard in shards) <= 2 * 2**30


def test_weights_are_normal_in_several_files_and_load_whole(random_model: Path) -> None:
    assert len(list(random_model.glob("model-*.safetensors"))) > 2
    model, told = AutoModelForCausalLM.from_pretrained(random_model, dtype="auto", output_loading_info=True)
    assert not any(told[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert model.dtype == torch.bfloat16
    deviation = model.config.initializer_range
    for name, weight in model.named_parameters():
        if weight.dim() == 2:
            assert float(weight.detach().float().std()) == pytest.approx(deviation, rel=0.02), name
            assert abs(float(weight.detach().float().mean())) < 0.02 * deviation, name
    assert len(AutoTokenizer.from_pretrained(random_model)) == model.config.vocab_size == 2048


def test_the_same_seed_gives_the_same_weights_however_they_are_cut(
    random_model: Path, tmp_path: Path
) -> None:
    build_random(*shrunk(), tmp_path)
    [file] = tmp_path.glob("*.safetensors")
    tensors = load_file(file)
    several = {
        name: tensor
        for part in random_model.glob("*.safetensors")
        for name, tensor in load_file(part).items()
    }
    assert tensors.keys() == several.keys()
    assert all(torch.equal(tensors[name], several[name]) for name in tensors)
    norms = [name for name in tensors if name.endswith("layernorm.weight")]
    assert all(bool((tensors[name] == 1).all()) for name in norms)


FORMATS = [
    BitsAndBytes(kind="bitsandbytes", bits=8),
    BitsAndBytes(kind="bitsandbytes", bits=4),
    BitsAndBytes(kind="bitsandbytes", bits=4, format_4bit="fp4"),
    W8A8(kind="int8-w8a8"),
    W8A16(kind="int8-w8a16"),
    W4A16(kind="int4-w4a16"),
    Fp8(kind="fp8"),
    Gptq(kind="gptq"),
    pytest.param(Awq(kind="awq"), marks=pytest.mark.long),
]


def quantised(source: Path, out: Path, quantization: BitsAndBytes | Compressed) -> None:
    """Make the checkpoint."""
    if isinstance(quantization, BitsAndBytes):
        quantize_bitsandbytes(source, out, quantization)
    else:
        quantize_compressed(source, out, quantization)


@pytest.mark.parametrize("quantization", FORMATS, ids=lambda one: f"{one.kind}{getattr(one, 'bits', '')}")
def test_each_format_has_the_zeros_that_its_rule_gives_and_a_mostly_zero_one_is_refused(
    random_model: Path, tmp_path: Path, quantization: BitsAndBytes | Compressed
) -> None:
    quantised(random_model, tmp_path, quantization)
    assert check_zero_codes(tmp_path, quantization) <= TOLERANCE
    spoilt = _with_zeros(tmp_path, quantization, share=0.05)
    with pytest.raises(BuildError, match=rf"{spoilt}.* has .* more zeros than its format gives"):
        check_zero_codes(tmp_path, quantization)


def _with_zeros(folder: Path, quantization: BitsAndBytes | Compressed, share: float) -> str:
    """Make some rows of one matrix zero, in its own codes; returns its name."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    stem = "model.layers.1.mlp.c_fc.weight"
    name = stem if stem in tensors else f"{stem}_packed"
    codes = tensors[name]
    zeroed = max(1, int(len(codes) * share))
    if isinstance(quantization, BitsAndBytes) and quantization.bits == 4:
        codes[:zeroed] = 0x77 if quantization.format_4bit != "fp4" else 0
    elif isinstance(quantization, Gptq | W4A16 | W8A16):
        codes[:zeroed] = (
            -2004318072 if isinstance(quantization, Gptq | W4A16) else -2139062144
        )  # 0x88888888, 0x80808080
    elif isinstance(quantization, Awq):
        codes[:32] = 0
        tensors[f"{stem}_zero_point"][:4] = 0  # eight rows in each number
    else:
        codes.view(torch.int8)[:zeroed] = 0
    save_file(tensors, path, metadata=metadata)
    return name


def test_a_checkpoint_in_which_nothing_was_quantised_is_refused(random_model: Path) -> None:
    assert check_zero_codes(random_model, None) == 0
    with pytest.raises(BuildError, match="nothing was quantised"):
        check_zero_codes(random_model, Fp8(kind="fp8"))


def test_what_vllms_dummy_loader_makes_of_fp8_would_be_refused() -> None:
    dummy = (torch.rand(256, 256) * 2e-3 - 1e-3).to(torch.float8_e4m3fn)  # as it draws weights: within 1e-3
    share = float((dummy.float() == 0).double().mean())
    assert share > 0.5 > expected_share(Fp8(kind="fp8"), 256) + TOLERANCE


def test_every_architecture_is_called_as_its_file() -> None:
    for path in ARCHITECTURES.glob("*.json"):
        architecture = load_architecture(path.stem)
        assert architecture is not None
        assert architecture.name == path.stem


@pytest.mark.parametrize("name", sorted(BILLIONS))
def test_a_size_is_read_from_a_configuration_of_any_family(name: str) -> None:
    preset = load_architecture(name)
    assert preset is not None
    words = preset.weights.vocabulary
    config = made_config(preset.family, vocab_size=words, **preset.settings)
    true = sum(shape.numel() for shape in tensor_shapes(config).values())
    for said in ({"vocab_size": words, "model_type": preset.family, **preset.config}, config.to_dict()):
        shape = shape_of(said)
        assert shape is not None
        assert shape.parameters == pytest.approx(true, rel=0.05), "without biases, norms and positions"
        assert shape.layers == config.num_hidden_layers


def test_the_first_starcoder_names_its_dimensions_otherwise() -> None:
    starcoderbase_1b = {
        "model_type": "gpt_bigcode", "vocab_size": 49152, "n_embd": 2048, "n_inner": 8192, "n_layer": 24, "n_head": 16,
        "n_positions": 8192, "multi_query": True,
    }  # fmt: skip
    for said in (starcoderbase_1b, {**starcoderbase_1b, "n_inner": None}):
        shape = shape_of(said)
        assert shape is not None
        assert (shape.kv_heads, shape.positions) == (1, 8192)
        assert shape.parameters == pytest.approx(1.12e9, rel=0.02)
    assert shape_of({**starcoderbase_1b, "n_embd": "wide"}) is None


def test_a_mixture_weighs_all_its_experts() -> None:
    qwen3_coder = {
        "model_type": "qwen3_moe", "vocab_size": 151936, "hidden_size": 2048, "num_hidden_layers": 48,
        "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128, "intermediate_size": 6144,
        "num_experts": 128, "moe_intermediate_size": 768, "tie_word_embeddings": False,
    }  # fmt: skip
    shape = shape_of(qwen3_coder)
    assert shape is not None
    assert shape.parameters == pytest.approx(30.5e9, rel=0.01)
