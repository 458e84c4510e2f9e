"""Names of loads, and that nobody's typing mistake becomes a default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from configs import schema
from configs.files.strict import StrictModel
from configs.loads import Closed, Load, Open, SingleStream
from configs.meters import Meters
from configs.restarts import Resident
from configs.schema import Prompts, Study

LOADS: TypeAdapter[Load] = TypeAdapter(Load)
RESIDENT: dict[str, Any] = {
    "name": "s", "models": ["starcoder2-memorised"], "baseline": "bf16", "variants": ["bf16"],
    "loads": [{"kind": "single_stream"}],
}  # fmt: skip
MODELS = [
    thing
    for thing in vars(schema).values()
    if isinstance(thing, type) and issubclass(thing, BaseModel) and thing.__module__ == schema.__name__
]


@pytest.mark.parametrize(
    ("load", "slug"),
    [
        (SingleStream(kind="single_stream"), "single-stream"),
        (Closed(kind="closed", concurrency=16), "closed-16"),
        (Open(kind="open", qps=8), "open-8-poisson"),
        (Open(kind="open", qps=0.25, arrivals="constant"), "open-0.25-constant"),
        (Open(kind="open", qps=8, name="busy"), "busy"),
        (Open(kind="open", trace=Path("in/rush hour.csv")), "open-trace-rush-hour"),
    ],
)
def test_a_load_is_called_as_the_design_says(load: Load, slug: str) -> None:
    assert load.slug == slug


@pytest.mark.parametrize("name", ["", ".", "a/b", "-x", "a b", "ü"])
def test_a_name_that_would_be_no_good_folder_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="takes letters, digits"):
        Open(kind="open", qps=1, name=name)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_no_model_takes_a_field_it_does_not_know(model: type[BaseModel]) -> None:
    assert issubclass(model, StrictModel)
    with pytest.raises(ValidationError) as caught:
        model.model_validate({"no_such_field": 1})
    assert "extra_forbidden" in {problem["type"] for problem in caught.value.errors()}


@pytest.mark.parametrize("model", [Study, Prompts, Meters, Closed, Open], ids=lambda model: model.__name__)
def test_every_field_that_a_person_writes_says_what_it_is(model: type[BaseModel]) -> None:
    bare = [name for name, field in model.model_fields.items() if not field.description]
    assert bare in ([], ["kind"])


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "closed", "concurrency": 0},
        {"kind": "closed", "concurrency": 1.5},
        {"kind": "open", "qps": -1},
        {"kind": "open", "qps": float("nan")},
        {"kind": "open", "qps": float("inf")},
        {"kind": "open"},
        {"kind": "open", "qps": 1, "trace": "offsets.csv"},
        {"kind": "open", "arrivals": "constant", "trace": "offsets.csv"},
        {"kind": "single_stream", "concurrency": 2},
    ],
)
def test_a_load_that_cannot_be_offered_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LOADS.validate_python(fields)


def test_meters_auto_means_the_defaults() -> None:
    fields = {
        "name": "s", "models": ["m"], "baseline": "bf16", "variants": ["bf16"], "loads": [{"kind": "single_stream"}]
    }  # fmt: skip
    assert Study.model_validate(fields).meter_settings == Meters()
    chosen = Study.model_validate({**fields, "meters": {"sample_hz": 50}})
    assert chosen.meter_settings == Meters(sample_hz=50)


def test_engines_that_stay_loaded_are_started_anew_every_so_many_blocks() -> None:
    study = Study.model_validate({**RESIDENT, "engine_restarts": {"resident": "auto"}})
    assert isinstance(study.engine_restarts, Resident)
    assert [study.engine_restarts.start_of(block) for block in range(1, 6)] == [0, 0, 1, 1, 2]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ("never", "engine_restarts"),
        ({"every": 2}, "engine_restarts.fields.resident"),
        ({"resident": "auto", "every": 0}, "engine_restarts.fields.every"),
        ({"resident": 2}, "engine_restarts.fields.resident"),
        ({"resident": "auto", "often": 2}, "engine_restarts.fields.often"),
    ],
)
def test_what_engine_restarts_does_not_take_is_refused_by_its_field(given: object, field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Study.model_validate({**RESIDENT, "engine_restarts": given})
    assert [".".join(map(str, problem["loc"])) for problem in refused.value.errors()] in (
        [field],
        [f"{field}.word"],
    )


def test_slots_that_share_one_memory_take_no_engines_that_stay_loaded() -> None:
    slots = {"kind": "side_by_side", "slots": [{"cpus": [0]}, {"cpus": [1]}]}
    with pytest.raises(ValidationError, match="their engines share one memory"):
        Study.model_validate({**RESIDENT, "engine_restarts": {"resident": "auto"}, "executor": slots})
    boards = {"kind": "side_by_side", "slots": [{"gpus": [0]}, {"gpus": [1]}]}
    Study.model_validate({**RESIDENT, "engine_restarts": {"resident": "auto"}, "executor": boards})
