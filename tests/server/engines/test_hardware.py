"""What the hardware cannot serve is refused before anything starts, with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import server.engines.vllm
from configs.loader import load_architecture, load_variant, variant_names
from configs.schema import EngineSettings
from server.build.shape import Shape, shape_of
from server.build.store import Checkpoint
from server.engines import refusal
from server.engines.engine_spec import EngineSpec
from server.engines.hardware import (
    Board,
    Machine,
    attention_for,
    cannot_be_shared,
    cannot_be_split,
    why_not,
)
from server.engines.vllm import vllm_command
from starwatt_errors import UsageError

CPU = Machine(())
V100, T4 = Board("V100", (7, 0)), Board("T4", (7, 5))
A100, H100 = Board("A100-SXM4-40GB", (8, 0)), Board("H100", (9, 0))
L4, B200, RTX5090 = Board("L4", (8, 9)), Board("B200", (10, 0)), Board("RTX 5090", (12, 0))
IN_FLOATS_OF_A_T4 = {"fp16", "fp32", "ready-made", "paper-fp4-hf", "paper-int8-hf"}


def refused(machine: Machine, settings: EngineSettings | None = None) -> set[str]:
    """The presets that a machine cannot serve."""
    settings = settings or EngineSettings()
    return {name for name in variant_names() if why_not(load_variant(name), settings, machine)}


@pytest.mark.parametrize(
    ("machine", "names"),
    [
        (CPU, {"int8-w8a16"}),
        (Machine((V100,)), set(variant_names())),
        (Machine((T4,)), set(variant_names()) - IN_FLOATS_OF_A_T4),
        (Machine((A100,)), {"fp8"}),
        (Machine((L4,)), set()),
        (Machine((H100,)), set()),
        (Machine((B200,)), {"int8-w8a8"}),
        (Machine((RTX5090,)), {"int8-w8a8"}),
        (Machine((Board("?", None),)), set()),
    ],
)
def test_each_machine_refuses_what_it_cannot_serve(machine: Machine, names: set[str]) -> None:
    assert refused(machine) == names


def test_fp8_on_an_a100_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusal, "this_machine", lambda: Machine((A100,)))
    monkeypatch.setattr(refusal, "check_environment", lambda: None)
    with pytest.raises(
        UsageError,
        match=r"fp8: A100-SXM4-40GB has compute capability 8\.0; fp8 takes 8\.9 \(fp8 matrix units",
    ):
        refusal.refuse_what_cannot_be_served((load_variant("bf16"), load_variant("fp8")), EngineSettings())


def test_more_gpus_than_there_are_and_bitsandbytes_over_several_are_refused() -> None:
    two = EngineSettings(tensor_parallel=2)
    assert "there are 1 GPUs" in (why_not(load_variant("bf16"), two, Machine((H100,))) or "")
    both = Machine((H100, H100))
    assert why_not(load_variant("bf16"), two, both) is None
    assert "cannot split" in (why_not(load_variant("nf4-bnb"), two, both) or "")
    assert "A100" in (why_not(load_variant("fp8"), two, Machine((H100, A100))) or "")


def shape(model: str, **changes: Any) -> Shape:
    """That of an architecture, as its config.json says it."""
    architecture = load_architecture(model)
    assert architecture is not None
    read = shape_of({"model_type": "starcoder2", "vocab_size": 49152, **architecture.config, **changes})
    assert read is not None
    return read


@pytest.mark.parametrize(
    ("model", "name", "boards", "words"),
    [
        ("starcoder2-3b", "bf16", 2, None), ("starcoder2-3b", "int4-gptq", 8, None),
        ("starcoder2-3b", "bf16", 5, "24 attention heads cannot be shared by 5 boards"),
        ("starcoder2-3b", "bf16", 3, "2 KV heads can neither be shared by 3 boards nor copied"),
        ("starcoder2-7b", "bf16", 6, "4 KV heads can neither be shared by 6 boards nor copied"),
        ("starcoder2-7b", "int4-awq", 4, None),
        ("starcoder2-memorised", "bf16", 4, None), ("starcoder2-memorised", "int4-w4a16", 2, None),
        ("starcoder2-memorised", "int4-w4a16", 4, "256 weights a row are no whole groups of 128 on each of 4 boards"),
        ("starcoder2-memorised", "int8-w8a16", 4, None),
    ],
)  # fmt: skip
def test_a_model_that_boards_cannot_share_is_refused_by_its_configuration(
    model: str, name: str, boards: int, words: str | None
) -> None:
    said = cannot_be_split(shape(model), load_variant(name), boards)
    assert (said is None) == (words is None), said
    assert (words or "") in (said or "")


@pytest.mark.parametrize(
    "quantised",
    [
        {"quant_method": "awq", "group_size": 128},
        {
            "quant_method": "compressed-tensors",
            "config_groups": {"group_0": {"weights": {"group_size": 128}}},
        },
    ],
)
def test_a_ready_made_checkpoint_says_its_groups_itself(quantised: dict[str, Any]) -> None:
    of_theirs = shape("starcoder2-memorised", quantization_config=quantised)
    assert cannot_be_split(of_theirs, load_variant("ready-made"), 2) is None
    assert "groups of 128" in (cannot_be_split(of_theirs, load_variant("ready-made"), 4) or "")


def test_a_format_in_float16_is_served_where_its_bfloat16_is_not() -> None:
    nf4 = load_variant("nf4-bnb")
    in_float16 = nf4.model_copy(
        update={"quantization": nf4.quantization.model_copy(update={"dtype": "float16"})}
    )
    assert "8.0 (bfloat16 units)" in (why_not(nf4, EngineSettings(), Machine((T4,))) or "")
    assert why_not(in_float16, EngineSettings(), Machine((T4,))) is None


@pytest.mark.parametrize(
    ("machine", "name", "told"),
    [
        (Machine((B200,)), "bf16", True), (Machine((B200,)), "fp32", False), (Machine((H100,)), "bf16", False),
        (Machine((RTX5090,)), "bf16", False), (CPU, "bf16", False),
    ],
)  # fmt: skip
def test_vllm_is_told_its_attention_only_where_it_would_take_one_that_must_be_compiled(
    monkeypatch: pytest.MonkeyPatch, machine: Machine, name: str, told: bool
) -> None:
    monkeypatch.setattr(server.engines.vllm, "this_machine", lambda: machine)
    spec = EngineSpec(
        "m", load_variant(name), Checkpoint(Path(), "", memorised=False), EngineSettings(), 8000
    )
    assert (vllm_command(spec)[-2:] == ["--attention-backend", "FLASH_ATTN"]) == told


AVX512 = Machine((), frozenset({"avx512f"}))


@pytest.mark.parametrize(
    ("machine", "name", "words"),
    [
        (CPU, "bf16+kv-fp8", "kv_cache_dtype: fp8 takes a CPU with AVX-512 or AMX"), (AVX512, "bf16+kv-fp8", None),
        (Machine((A100,)), "bf16+kv-fp8", "takes 8.9 (fp8 units) for kv_cache_dtype: fp8"),
        (Machine((A100,)), "bf16+kv-fp8+flashinfer", None), (Machine((L4,)), "bf16+kv-fp8", None),
        (CPU, "bf16+triton-attn", "one attention_backend on a CPU"), (Machine((H100,)), "bf16+triton-attn", None),
        (AVX512, "bf16+tensor-2", "tensor_parallel is 2, and there are 0 GPUs"),
        (Machine((H100,)), "bf16+data-2", "data_parallel is 2, and there are 1 GPUs"),
        (Machine((H100,) * 3), "bf16+tensor-2+pipeline-2", "pipeline_parallel is 2 (4 boards), and there are 3 GPUs"),
        (Machine((H100,) * 4), "bf16+tensor-2+pipeline-2", None), (Machine((H100,) * 2), "nf4-bnb+data-2", None),
        (Machine((H100,) * 2), "nf4-bnb+tensor-2", "bitsandbytes quantised over GPUs"),
        (Machine((H100, A100)), "fp8+data-2", "A100"), (CPU, "bf16+ngram+prefix-cache+seqs-32", None),
    ],
)  # fmt: skip
def test_a_setting_that_the_hardware_does_not_have_is_refused(
    machine: Machine, name: str, words: str | None
) -> None:
    said = why_not(load_variant(name), EngineSettings(), machine)
    assert (said is None) == (words is None), said
    assert (words or "") in (said or "")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bf16+pipeline-2", None), ("bf16+data-2", None),
        ("pruned-last-3+pipeline-2", "its 1 layers cannot be shared by 2 boards one after another"),
        ("int4-w4a16+tensor-4", "256 weights a row are no whole groups of 128 on each of 4 boards"),
    ],
)  # fmt: skip
def test_a_model_that_a_variant_s_own_boards_cannot_share_is_refused(name: str, words: str | None) -> None:
    said = cannot_be_shared(shape("starcoder2-memorised"), load_variant(name), EngineSettings())
    assert (said is None) == (words is None), said
    assert (words or "") in (said or "")


@pytest.mark.parametrize(
    ("board", "name", "attention"),
    [
        (H100, "bf16+kv-fp8", None), (L4, "bf16+kv-fp8", "TRITON_ATTN"), (B200, "bf16+kv-fp8", "TRITON_ATTN"),
        (B200, "bf16+ngram", "FLASH_ATTN"), (B200, "bf16+flashinfer", None), (A100, "bf16+ngram", None),
    ],
)  # fmt: skip
def test_a_cache_in_fp8_is_read_by_kernels_that_need_not_be_compiled(
    board: Board, name: str, attention: str | None
) -> None:
    assert attention_for(load_variant(name), EngineSettings(), Machine((board,))) == attention
