"""Which norm feeds which matrices is found in the module graph, and proven before anything is smoothed by it."""

from __future__ import annotations

import pytest
import torch

from configs.variant import W4A16, BitsAndBytes
from server.build.families.reach import check_reached, reached
from server.build.families.smoothing import Fed, check_smoothed, fed_by_norms, mappings_of
from starwatt_errors import BuildError
from tests.server.build.families.conftest import tiny

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of GPTBigCode's own module

NF4, INT4 = BitsAndBytes(kind="bitsandbytes", bits=4), W4A16(kind="int4-w4a16")


def of_the_first_layer(family: str) -> dict[str, list[str]]:
    """What is smoothed there, by the names within the layer."""
    mappings = mappings_of(tiny(family), "awq")
    assert mappings is not None
    first = [fed for fed in mappings if ".0." in fed.norm]
    assert len(mappings) == 4 * len(first), "in every layer alike"
    return {fed.norm.split(".0.")[1]: [name.split(".0.")[1] for name in fed.matrices] for fed in first}


def test_mappings_are_found_where_nobody_wrote_them_down() -> None:
    assert of_the_first_layer("gpt_bigcode") == {"ln_1": ["attn.c_attn"], "ln_2": ["mlp.c_fc"]}
    assert of_the_first_layer("gpt_neox") == {
        "input_layernorm": ["attention.query_key_value"],
        "post_attention_layernorm": ["mlp.dense_h_to_4h"],
    }
    parallel = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.fc1"]
    assert of_the_first_layer("phi") == {"input_layernorm": parallel}, (
        "one norm feeds attention and MLP at once"
    )


@pytest.mark.parametrize("family", ["llama", "qwen2", "starcoder2"])
def test_what_is_found_of_families_with_written_mappings_is_what_is_written(family: str) -> None:
    found = {
        fed.norm.split(".0.")[1]: set(fed.matrices) for fed in fed_by_norms(tiny(family)) if ".0." in fed.norm
    }
    path = "model.layers.0"
    assert found["input_layernorm"] == {f"{path}.self_attn.{name}_proj" for name in "qkv"}
    gated = {f"{path}.mlp.gate_proj", f"{path}.mlp.up_proj"}
    assert found["post_attention_layernorm"] == ({f"{path}.mlp.c_fc"} if family == "starcoder2" else gated)


def test_proving_leaves_the_weights_as_they_were() -> None:
    model = tiny("gpt_bigcode")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    mappings_of(model, "awq")
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("family", "reason"),
    [
        (
            "gemma",
            "no norm of its layers feeds linear layers and nothing else",
        ),  # its norms multiply by 1 + weight
        (
            "olmo2",
            "no norm of its layers feeds linear layers and nothing else",
        ),  # its norms come after the matrices
        ("mixtral", "the experts of a mixture all take the same norm's output"),
    ],
)
def test_what_cannot_be_smoothed_is_refused_with_the_reason_and_what_would_do(
    family: str, reason: str
) -> None:
    model = tiny(family)
    words = rf"cannot be smoothed: .*{reason}; int4-gptq.*need none"
    with pytest.raises(BuildError, match=words):
        mappings_of(model, "awq")
    with pytest.raises(BuildError, match=words):
        check_smoothed(model.config, "awq")


def test_libraries_own_mappings_are_left_to_it_and_starcoder2_has_ours() -> None:
    assert mappings_of(tiny("llama"), "awq") is None
    assert mappings_of(tiny("qwen2"), "smoothquant") is None
    ours = mappings_of(tiny("starcoder2"), "awq")
    assert ours is not None
    assert Fed("re:.*post_attention_layernorm$", ("re:.*mlp.c_fc$",)) in ours


@pytest.mark.parametrize("family", ["starcoder2", "llama", "gpt_bigcode", "gpt_neox"])
def test_every_matrix_of_a_dense_model_is_reached(family: str) -> None:
    model = tiny(family)
    assert reached(model, (torch.nn.Linear,)) == (1.0, [])
    check_reached(model, NF4)
    check_reached(model, INT4)


def test_a_quantiser_that_reaches_no_matrix_is_refused_with_what_holds_them() -> None:
    gpt2 = tiny("gpt2")
    check_reached(gpt2, NF4)  # transformers turns its Conv1D around
    with pytest.raises(
        BuildError, match=r"GPT2LMHeadModel: llm-compressor reaches no matrix of its layers.*Conv1D"
    ):
        check_reached(gpt2, INT4)
    with pytest.raises(
        BuildError, match=r"bitsandbytes reaches \d+% of the weights of its layers.*MixtralExperts"
    ):
        check_reached(tiny("mixtral"), NF4)
