"""A busy machine adds reasons to a result, and hides none."""

from __future__ import annotations

import pytest

from analysis.validity.reasons import EXPLANATIONS
from tests.support.busy import ON_A_BUSY_MACHINE, says


def test_every_reason_of_a_busy_machine_is_one_that_analysis_gives() -> None:
    assert set(EXPLANATIONS) >= ON_A_BUSY_MACHINE


@pytest.mark.parametrize(
    ("reasons", "expected", "right"),
    [
        (["no_tests"], ["no_tests"], True),
        (["generator_lagged", "no_tests"], ["no_tests"], True),
        (["generator_lagged"], ["no_tests"], False),
        (["errors", "no_tests"], ["no_tests"], False),
        (["power_gap"], [], True),
        (["no_power"], [], False),
        ([], ["power_gap"], False),
    ],
)
def test_what_is_expected_is_there_and_nothing_else_but_what_a_busy_machine_adds(
    reasons: list[str], expected: list[str], right: bool
) -> None:
    assert says(reasons, *expected) is right
