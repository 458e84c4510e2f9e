"""Faults of meters: every one is found, in the interval, or put right, and the page has them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.energy import faults
from benchmarks.energy.faults import rows

PAGE = Path(__file__).resolve().parents[2] / "docs" / "measurements" / "faults.md"
SAID = {
    "an impossible reading": "power_impossible",
    "an impossible reading in idle time": "no_idle",
    "power that is always zero": "power_zero",
    "power that is zero for a while": "power_zero",
    "power that never moves": "power_stuck",
    "a power limit that changes": "power_limit_changed",
    "nothing": "valid",
    "a RAPL counter that begins anew": "counter_backwards",
    "one counter behind several zones": "counted once: package-0-die-0",
    "idle boards beside the engine's": "joules of GPU-0 alone; `node_idle_boards_w` 490 W",
    "an engine on no metered board": "engine_not_metered",
    "an engine behind nginx or docker-proxy": "valid",
    "a log in kilowatts": "1250 W",
    "a log in microwatts": "1250 W",
    "a column of units": "1250 W",
    "a log that is not of power": "power_unit",
    "a number that can be read in two ways": "refused",
    "groups of digits and a decimal comma": "1250 W",
    "a value that is missing": "a gap",
    "a log's clock that is set meanwhile": "clock_uncertain",
}


def test_every_fault_is_said_and_stands_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "_TRIALS", 2)
    found, page = rows(), PAGE.read_text(encoding="utf-8")
    for row in found:
        assert f"| {row.fault} | {row.injected} |" in page
        if row.fault in SAID:
            assert SAID[row.fault] in row.said
            assert row.said in page
    assert {row.fault for row in found} >= SAID.keys()


def test_of_an_offset_the_interval_of_the_kind_gain_holds_the_true_ratio() -> None:
    [row] = faults._gain()
    low, high = (float(word) for word in row.said.split("leaves ")[1].removesuffix(" open").split(" to "))
    assert low < 0.25 < high
