"""What is to be known of a cell that others measured, and what of it is not."""

from __future__ import annotations

from collections.abc import Iterator

from analysis.energy.sensor import CLOCK_BOUND
from analysis.requests.columns import Requests
from analysis.requests.window import Window
from analysis.validity.reasons import Check
from traces.imported import Imported

CUT_OFF_BOUND = 0.02
"""Of the requests: each that was cut off took at most a request's joules, so J/request is at most so much too high."""


def imported_checks(imported: Imported | None, requests: Requests, window: Window) -> Iterator[Check]:
    """Note what is not known, and ``cut_off`` where it matters; nothing of a cell that starwatt measured."""
    if imported is None:
        return
    apart_s = imported.clock_uncertainty_s
    share = None if apart_s is None else apart_s / window.seconds
    yield Check("imported", False, share, "share of window", hi=CLOCK_BOUND, noted=True)
    for code in imported.unknown:
        yield Check(code, False, None, "", noted=True)
    untold = requests.aborted & ~(requests.output_tokens > 0)
    cut, whole = float(untold.sum()), float(requests.completed.sum())
    share = cut / (cut + whole)
    yield Check("cut_off", share > CUT_OFF_BOUND, share, "share of requests", hi=CUT_OFF_BOUND, noted=cut > 0)
