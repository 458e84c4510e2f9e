"""Boards on which the engine was not are in none of its joules; an engine on boards that were not read is a reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from analysis.energy.integral import PowerSeries
from analysis.requests.window import Window
from analysis.validity.gpu_conditions import throttle_checks
from analysis.validity.steadiness import trends_in
from analysis.validity.whose_boards import (
    boards_seen,
    idle_boards_w,
    metered_check,
    of_the_engine,
    readings_of_the_engine,
)
from tests.support.builders import SECOND, columns, request
from traces.schemas import OCCUPANCY, POWER

WINDOW = Window(0, 10)
A, B, C = "GPU-a", "GPU-b", "GPU-c"
Look = dict[str, Any]


def board(name: str, watts: float) -> PowerSeries:
    t_ns = np.arange(11)
    power_w = np.full(11, watts)
    return PowerSeries(name, "gpu", "nvml", t_ns, t_ns, power_w, t_ns[:0], power_w[:0])


def look(device: str, engine: bool | None, **others: Any) -> Look:
    return {
        "t_ns": 5,
        "device": device,
        "state": "unknown",
        "pids": [],
        "foreign": [],
        "engine": engine,
        **others,
    }


def seen(*looks: Look) -> pa.Table:
    return pa.Table.from_pylist(list(looks), schema=OCCUPANCY)


def test_idle_boards_that_were_read_leave_the_engines_joules_and_have_a_row_of_their_own() -> None:
    series = [board(A, 300.0), board(B, 60.0), board(C, 50.0)]
    boards = boards_seen(seen(look(A, True), look(B, False), look(C, False)), WINDOW)
    assert [readings.device for readings in of_the_engine(series, boards)] == [A]
    assert idle_boards_w(series, boards, WINDOW) == (110.0, ())
    check = metered_check(series, boards)
    assert check is not None
    assert not check.failed


def test_runs_that_noted_only_who_was_alone_on_a_board_tell_the_same() -> None:
    looks = (look(A, None, state="exclusive", pids=[7]), look(B, None))
    boards = boards_seen(seen(*looks), WINDOW)
    assert (list(boards.on), list(boards.off)) == ([A], [B])


@pytest.mark.parametrize(
    ("looks", "failed"),
    [
        ((look(A, False), look(B, True)), True),  # on another one
        ((look(A, True), look(B, True)), True),  # on another one too
        ((look(A, False),), True),  # on none: it computes elsewhere
        ((look(A, True), look(B, False, power_w=60.0)), False),
    ],
)
def test_an_engine_on_boards_that_were_not_metered_is_a_reason(looks: tuple[Look, ...], failed: bool) -> None:
    series = [board(A, 300.0)]
    boards = boards_seen(seen(*looks), WINDOW)
    check = metered_check(series, boards)
    assert check is not None
    assert (check.code, check.failed) == ("engine_not_metered", failed)
    assert [readings.device for readings in of_the_engine(series, boards)] == [A], (
        "the row stays, with its reason"
    )


def test_an_engine_that_turned_out_to_be_behind_a_front_is_not_called_elsewhere() -> None:
    hidden = boards_seen(seen(look(A, False), look(A, None)), WINDOW)
    assert metered_check([board(A, 300.0)], hidden) is None, "its board is open, and lists show no process"
    listed = metered_check([board(A, 300.0)], boards_seen(seen(look(A, False), look(A, True)), WINDOW))
    assert listed is not None
    assert not listed.failed


@pytest.mark.parametrize("looks", [(), (look(A, None),)])
def test_where_no_process_can_be_seen_nothing_is_said(looks: tuple[Look, ...]) -> None:
    series = [board(A, 300.0)]
    boards = boards_seen(seen(*looks), WINDOW)
    assert metered_check(series, boards) is None
    assert of_the_engine(series, boards) == series
    assert idle_boards_w(series, boards, WINDOW) == (None, ())


def test_a_board_beside_that_another_uses_is_not_idle() -> None:
    beside = look(B, False, power_w=200.0, foreign=[9], state="shared")
    boards = boards_seen(seen(look(A, True), beside), WINDOW)
    assert idle_boards_w([board(A, 300.0)], boards, WINDOW) == (200.0, ("gpu_shared",))


def test_heat_and_clocks_of_a_board_beside_are_not_the_engines() -> None:
    """It warms by 40 K and is held down; the engine's is at 60 °C throughout."""
    window, series = Window(0, 120 * SECOND), [board(A, 300.0), board(B, 300.0)]
    rows = [
        {"t_ns": at * SECOND, "device": name, "source": "nvml", "temperature_c": warm, "throttle": mask}
        for at in range(120)
        for name, warm, mask in ((A, 60.0, 0), (B, 40 + at / 3, 0x40))
    ]
    power = pa.Table.from_pylist(rows, schema=POWER)
    requests = columns(*(request(n, n * 1000, n * 1000 + 900) for n in range(119)))
    for engine, spoilt in ((False, False), (None, True)):
        boards = boards_seen(seen(look(A, True), look(B, engine)), window)
        readings = readings_of_the_engine(power, series, boards)
        checks = [*throttle_checks(readings, window), *trends_in(requests, readings, None, window).checks]
        assert [(check.code, check.failed) for check in checks] == [
            ("throttled", spoilt),
            ("not_steady", spoilt),
        ]
