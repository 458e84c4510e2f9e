"""What a study file may ask of boards: each setting once, and only of boards that are started and read here."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from configs.board import BoardSetting
from configs.schema import Study

FIELDS: dict[str, Any] = {
    "name": "s",
    "models": ["bigcode/starcoder2-3b"],
    "baseline": "bf16",
    "variants": ["bf16"],
    "loads": [{"kind": "single_stream"}],
}


def study(*settings: dict[str, Any], **changes: Any) -> Study:
    return Study.model_validate({**FIELDS, "board": list(settings), **changes})


@pytest.mark.parametrize(
    ("fields", "slug"),
    [
        ({}, "as-found"),
        ({"power_limit_w": None}, "as-found"),
        ({"power_limit_w": 400}, "400w"),
        ({"power_limit_w": 250.5}, "250.5w"),
        ({"sm_clock_mhz": 1200}, "1200mhz"),
        ({"power_limit_w": 300, "sm_clock_mhz": 1200}, "300w-1200mhz"),
    ],
)
def test_a_setting_is_named_after_what_it_sets(fields: dict[str, Any], slug: str) -> None:
    assert BoardSetting.model_validate(fields).slug == slug


def test_a_study_without_settings_leaves_boards_alone() -> None:
    assert Study.model_validate(FIELDS).board_settings == (None,)
    nothing: list[Any] | None
    for nothing in ([], None):
        assert Study.model_validate({**FIELDS, "board": nothing}).board_settings == (None,)


@pytest.mark.parametrize(
    "fields",
    [
        {"power_limit_w": 0},
        {"power_limit_w": -5},
        {"power_limit_w": "300"},
        {"power_limit_w": True},
        {"sm_clock_mhz": 1200.5},
        {"sm_clock_mhz": 0},
        {"power_w": 300},
    ],
)
def test_what_is_no_limit_and_no_clock_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        study(fields)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"board": [{"power_limit_w": 400}, {"power_limit_w": 400.0}]}, "has a setting twice: 400w, 400w"),
        ({"board": [{}, {"power_limit_w": None}]}, "has a setting twice"),
        ({"meters": {"sources": ["rapl"]}}, "takes meters that read the boards"),
        ({"meters": {"gpus": []}}, "takes meters that read the boards"),
        ({"remote": {"bf16": {"url": "http://there:8000"}}}, "takes no remote"),
    ],
)
def test_a_study_that_could_not_see_or_set_its_boards_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Study.model_validate({**FIELDS, "board": [{"power_limit_w": 400}], **changes})
