"""Trends within a window and across blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from analysis.contrasts.drift import drift_rows
from analysis.requests.window import Window
from analysis.validity.steadiness import Trend, Trends, trend, trends_in
from tests.support.builders import MS, SECOND, columns, request
from traces.schemas import POWER

WINDOW = Window(0, 120 * SECOND)


def power(temperature_c: np.ndarray, clock_mhz: np.ndarray) -> pa.Table:
    """A reading a second."""
    rows = [
        {"t_ns": at * SECOND, "device": "d", "temperature_c": float(warm), "sm_clock_mhz": float(clock)}
        for at, (warm, clock) in enumerate(zip(temperature_c, clock_mhz, strict=True))
    ]
    return pa.Table.from_pylist(rows, schema=POWER)


def found(**changes: np.ndarray) -> Trends:
    """A steady window of two minutes, but for these columns."""
    rng = np.random.default_rng(2)
    given = {"temperature_c": rng.normal(60, 0.5, 120), "clock_mhz": rng.normal(1400, 5, 120), **changes}
    requests = columns(
        *(
            request(n, n * 1000, n * 1000 + 900, chunk_ns=[(n * 1000 + 900) * MS], chunk_tokens=[10])
            for n in range(119)
        )
    )
    return trends_in(requests, power(**given), None, WINDOW)


def test_a_steady_window_shows_its_trends_and_stays_valid() -> None:
    trends = found()
    assert set(trends.found) == {"tokens", "sm_clock", "temperature"}
    [check] = trends.checks
    assert not check.failed


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("temperature_c", np.linspace(45, 75, 120)),
        ("clock_mhz", np.linspace(1500, 1300, 120)),
    ],
)
def test_what_goes_one_way_by_more_than_is_allowed_invalidates(name: str, values: np.ndarray) -> None:
    [check] = found(**{name: values}).checks
    assert check.failed
    assert check.code == "not_steady"
    assert check.value is not None
    assert check.value > 1


def test_a_board_that_warms_up_by_5_degrees_is_steady_enough() -> None:
    trends = found(temperature_c=np.linspace(60, 65, 120))
    assert trends.found["temperature"].change == pytest.approx(4.6, abs=0.5)
    assert not trends.checks[0].failed


def test_a_short_window_is_not_tested() -> None:
    assert trends_in(columns(request(1, 0, 900)), None, None, Window(0, 20 * SECOND)).checks == []


def test_a_large_change_that_chance_gives_is_not_a_trend() -> None:
    rng = np.random.default_rng(3)
    lines = [trend(1 + rng.normal(0, 0.3, 12)) for _ in range(500)]
    called = [line.significant(0.1) for line in lines if line is not None]
    assert len(called) == 500
    assert np.mean(called) < 0.02
    assert trend(np.array([1.0, np.nan, 2.0, 3.0])) is None
    assert trend(np.ones(12)) == Trend(0.0, 1.0)


def cell_rows(joules: list[float]) -> list[dict[str, Any]]:
    """``j_per_request`` of one load, a block each."""
    return [
        {
            "model": "m",
            "variant": "v",
            "load": "single-stream",
            "block": block,
            "boundary": "gpu",
            "source": "nvml",
            "metric": "j_per_request",
            "value": value,
            "unit": "J",
            "lo": None,
            "hi": None,
            "interval_kind": None,
            "valid": True,
            "reasons": [],
        }
        for block, value in enumerate(joules, 1)
    ]


def test_joules_that_rise_from_block_to_block_become_invalid() -> None:
    rows = cell_rows([10.0, 10.6, 11.1, 11.4, 12.1])
    drift = {row["metric"]: row for row in drift_rows(rows)}
    assert drift["j_per_request_drift"]["value"] == pytest.approx(1.2, abs=0.02)
    assert drift["j_per_request_drift"]["reasons"] == ["drift"]
    assert {tuple(row["reasons"]) for row in rows} == {("drift",)}
    assert not any(row["valid"] for row in rows)


@pytest.mark.parametrize("joules", [[10.0, 10.1, 9.9, 10.05, 10.0], [10.0, 11.0, 12.0, 13.0]])
def test_steady_blocks_and_too_few_of_them_stay_as_they_are(joules: list[float]) -> None:
    rows = cell_rows(joules)
    drift_rows(rows)
    assert all(row["valid"] and not row["reasons"] for row in rows)
