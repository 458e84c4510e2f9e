"""Cells that others measured: what is noted of them, and when it spoils them."""

from __future__ import annotations

import pytest

from analysis.energy.sensor import Said, Sensors
from analysis.requests.latency import latencies
from analysis.requests.window import Window
from analysis.validity.clocks import imported_checks
from analysis.validity.reasons import request_checks
from configs.meters import Meters
from tests.support.builders import SECOND, columns, request
from traces.imported import Imported, ImportedFile, ImportedLog

FILE = ImportedFile(name="f", sha256="0")
LOG = ImportedLog(
    file=FILE, form="csv", device="wall", source="external", clock_offset_s=0.0, clock_uncertainty_s=0.05
)
IMPORTED = Imported(tool="t", requests=FILE, logs=[LOG], clock="as stated", unknown=["lag_unknown"])
CUT = {"role": "filler", "status": "aborted", "chunk_ns": [], "chunk_tokens": []}


def test_a_cell_of_ours_has_none_of_these_checks() -> None:
    assert list(imported_checks(None, columns(request(1, 0, 500)), Window(0, SECOND))) == []


def test_what_is_not_known_is_noted_and_spoils_nothing() -> None:
    checks = {
        check.code: check
        for check in imported_checks(IMPORTED, columns(request(1, 0, 500)), Window(0, 10 * SECOND))
    }
    assert checks.keys() == {"imported", "lag_unknown", "cut_off"}
    assert not any(check.failed for check in checks.values())
    assert checks["imported"].value == pytest.approx(0.005)
    assert (checks["lag_unknown"].value, checks["lag_unknown"].noted) == (None, True)


@pytest.mark.parametrize(
    ("whole", "cut", "tokens", "failed"), [(98, 2, None, False), (97, 3, None, True), (97, 3, 5, False)]
)
def test_requests_that_were_cut_off_untold_spoil_a_cell_above_a_fiftieth(
    whole: int, cut: int, tokens: int | None, failed: bool
) -> None:
    rows = [request(number, 0, 500) for number in range(whole)]
    rows += [request(whole + number, 0, 500, **{**CUT, "output_tokens": tokens}) for number in range(cut)]
    *_, check = imported_checks(IMPORTED, columns(*rows), Window(0, SECOND))
    assert (check.code, check.failed, check.noted) == ("cut_off", failed, tokens is None)


def test_a_generator_is_not_judged_where_nobody_says_when_requests_were_due() -> None:
    rows = columns(
        *(request(number, 100 * number, 100 * number + 50, scheduled_ns=None) for number in range(4))
    )
    codes = {check.code for check in request_checks(rows, latencies(rows), is_open=True)}
    assert not codes & {"generator_lagged", "rate_not_reached"}


@pytest.mark.parametrize("source", ["nvml", "external"])
def test_what_is_stated_of_a_log_is_its_sensors(source: str) -> None:
    said = Sensors({}, Meters(), imported={"d": Said(1.0, 0.05), "e": Said(None, 0.02)})
    stated = said.sensor("d", source, averaged=False, reading_s=0.1)
    assert (stated.window_s, stated.clock_s) == (1.0, 0.1)
    assumed = said.sensor("e", source, averaged=False, reading_s=0.1)
    assert (assumed.window_s, assumed.clock_s) == (0.025 if source == "nvml" else 0.1, 0.04)
