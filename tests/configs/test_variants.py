"""Presets, the variants that their names describe, and the controls that a contrast needs."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from configs.controls import with_controls
from configs.loader import load_variant, variant_names
from configs.schema import Study
from configs.variant import Prune, Variant
from starwatt_errors import UsageError


def study(variants: list[str], baseline: str = "bf16", **more: Any) -> Study:
    """A study of variants under a single stream."""
    return Study.model_validate(
        {
            "name": "s",
            "models": ["m"],
            "baseline": baseline,
            "variants": variants,
            "loads": [{"kind": "single_stream"}],
            **more,
        }
    )


@pytest.mark.parametrize("name", variant_names())
def test_a_preset_is_called_as_its_file(name: str) -> None:
    assert load_variant(name).name == name
    assert load_variant(name).description


def test_the_issue_of_formats_is_covered() -> None:
    assert {
        "fp32", "fp16", "bf16", "int8-bnb", "nf4-bnb", "fp4-bnb", "int4-awq", "int4-gptq", "int4-w4a16",
        "int8-w8a8", "int8-w8a16", "fp8", "ready-made",
    } <= set(variant_names())  # fmt: skip


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("bf16-eager", {"enforce_eager": True}),
        ("nf4-bnb-eager", {"enforce_eager": True}),
        ("fp32-hf", {"engine": "transformers"}),
        ("pruned-last-2", {"prune": Prune(last=2)}),
        ("fp32-pruned-last-2-hf", {"prune": Prune(last=2), "engine": "transformers"}),
        ("int4-awq-pruned-influence-3", {"prune": Prune(block_influence=3)}),
        ("int4-awq-pruned-angular-3-eager", {"prune": Prune(angular_distance=3), "enforce_eager": True}),
        ("pruned-every-4", {"prune": Prune(every=4)}),
    ],
)
def test_a_name_describes_a_variant_of_a_preset(name: str, changes: dict[str, object]) -> None:
    base = next(
        (preset for preset in sorted(variant_names(), key=len, reverse=True) if name.startswith(preset)),
        "bf16",
    )
    variant = load_variant(name)
    expected = load_variant(base).model_copy(update=changes)
    assert variant.model_copy(update={"name": base, "description": expected.description}) == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bf61", r"there is no variant 'bf61'; there are: bf16, .*NAME-eager"),
        ("bf61-eager", "there is no variant 'bf61'"),
        ("int8-bnb-eager", "int8-bnb is without torch.compile and CUDA graphs already"),
        ("int4-awq-hf", "transformers takes quantization none or bitsandbytes"),
        ("pruned-last-1-pruned-first-1", "pruned-last-1 is pruned already"),
        ("pruned-last-0", "takes a number from 1 on"),
        ("pruned-every-1", "takes a number from 2 on"),
        ("pruned-best-1", "there is no variant 'pruned-best-1'"),
        ("ready-made-pruned-last-1", "a checkpoint that is quantised already cannot be pruned"),
    ],
)
def test_a_name_that_describes_nothing_is_refused_with_the_reason(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_variant(name)


@pytest.mark.parametrize(
    "fields",
    [
        {"quantization": {"kind": "bitsandbytes", "bits": 8, "format_4bit": "nf4"}},
        {"quantization": {"kind": "bitsandbytes", "bits": 3}},
        {"quantization": {"kind": "awq"}, "engine": "transformers"},
        {"engine": "transformers", "enforce_eager": True},
        {"quantization": {"kind": "int8"}},
    ],
)
def test_a_variant_that_contradicts_itself_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Variant.model_validate({"name": "v", "description": "", **fields})


def test_the_plan_adds_the_control_of_a_format_that_is_served_without_graphs() -> None:
    planned = with_controls(study(["bf16", "int8-bnb", "nf4-bnb"]))
    assert planned.variants == ("bf16", "int8-bnb", "nf4-bnb", "bf16-eager")
    assert planned.controls == {"int8-bnb": "bf16-eager"}
    assert with_controls(planned) == planned


def test_no_control_is_added_where_all_are_served_alike() -> None:
    eager = study(["bf16", "int8-bnb"], engine={"enforce_eager": True})
    assert with_controls(eager) == eager
    alike = study(["fp32-hf", "fp4-bnb-hf"], "fp32-hf")
    assert with_controls(alike) == alike


def test_another_engine_has_the_baselines_weights_on_that_engine_as_its_control() -> None:
    planned = with_controls(study(["bf16", "nf4-bnb-hf", "fp32-hf"]))
    assert planned.controls == {"nf4-bnb-hf": "bf16-hf", "fp32-hf": "bf16-hf"}
    assert planned.variants[-1] == "bf16-hf"


def test_a_control_itself_needs_none() -> None:
    assert with_controls(study(["bf16", "bf16-eager"])).controls == {}


def test_a_baseline_that_cannot_be_served_as_its_variants_are_is_refused() -> None:
    with pytest.raises(UsageError, match="bf16 is served otherwise than the baseline int8-bnb"):
        with_controls(study(["int8-bnb", "bf16"], "int8-bnb"))
    with pytest.raises(UsageError, match="nf4-bnb-hf needs int4-awq-hf as its control"):
        with_controls(study(["int4-awq", "nf4-bnb-hf"], "int4-awq"))


def test_a_control_that_is_no_variant_is_refused() -> None:
    with pytest.raises(ValidationError, match="names bf16-eager, which is none of the variants"):
        study(["bf16", "int8-bnb"], controls={"int8-bnb": "bf16-eager"})
