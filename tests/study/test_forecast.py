"""What a plan is going to take."""

from __future__ import annotations

import time

import pytest

from study.forecast import forecast
from study.plan import ENGINE_START_S, by_engine_start
from tests.study.test_plan import plan


def test_time_is_that_of_the_cells_and_of_their_engine_starts_and_energy_is_bounded_by_the_limits() -> None:
    cells = plan()
    found = forecast(cells, measured=0, given_up=0, limits_w=[700.0, 300.0])
    seconds = sum(cell.estimated_s for cell in cells) + len(by_engine_start(cells)) * ENGINE_START_S
    assert found.seconds == pytest.approx(seconds)
    assert found.most_kwh == pytest.approx(1000.0 * seconds / 3.6e6)
    assert f"{len(cells)} cells to measure, {found.engine_starts} engine starts" in found.lines()[0]


@pytest.mark.parametrize("limits_w", [[], [None], [700.0, None]])
def test_energy_is_not_made_up_where_a_limit_is_not_known(limits_w: list[float | None]) -> None:
    found = forecast(plan(), measured=3, given_up=1, limits_w=limits_w)
    assert found.most_kwh is None
    assert "can't be bounded" in found.lines()[2]
    assert "3 measured already, 1 given up" in found.lines()[0]


def test_ten_thousand_cells_are_planned_in_seconds() -> None:
    begun_s = time.process_time()
    cells = plan(blocks=334)
    found = forecast(cells, measured=0, given_up=0, limits_w=[])
    assert found.cells == 334 * 30
    assert time.process_time() - begun_s < 5
