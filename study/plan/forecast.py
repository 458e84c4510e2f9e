"""Forecast what a study is going to do and to take, before anything is started: ``starwatt run --dry-run``."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from starwatt_errors import counted
from study.plan.cells import PlannedCell, first_of_each_start
from study.plan.preparation import Preparation
from study.plan.reckoning import Reckoner
from study.plan.span import NOTHING, Span

_JOULES_PER_KWH = 3.6e6
_ANALYSED_S = Span(3.0, 15.0)
_ANALYSED_A_CELL_S = Span(0.02, 0.5)
_GRADED_S = Span(0.005, 0.3)
"""Of one answer, where answers are graded (docs/measurements/grading.md: 1640 in 43 to 55 s)."""
_MINUTE_S, _HOUR_MIN, _DAY_H = 100, 100, 24
"""From so much on the next unit says it better."""


@dataclass(frozen=True)
class Forecast:
    """Say what the cells that are not measured yet are going to take."""

    measured: int
    given_up: int
    cells: int = 0
    engine_starts: int = 0
    seconds: Span = NOTHING
    """From now until the report: builds, engine starts, cells, grading."""
    at_once: int = 1
    """Engines that measure side by side, at most."""
    limit_w: float | None = None
    """What the boards may draw together; None where it is not known of all of them."""
    plan: tuple[str, ...] = ()
    """What is going to be done, a line each."""
    preparation: Preparation | None = None
    parts: dict[str, Span] = field(default_factory=dict)
    """Where the time goes."""
    doubts: tuple[str, ...] = ()
    """What could not be found out."""

    @property
    def kwh(self) -> Span | None:
        """Return the energy of boards that draw their limit all the time; None where no limit is known."""
        return None if self.limit_w is None else self.seconds * (self.limit_w / _JOULES_PER_KWH)

    def lines(self) -> list[str]:
        """Write it for people, a line each."""
        done = [f"{self.measured} measured already"] if self.measured else []
        done += [f"{self.given_up} given up after failing"] if self.given_up else []
        cells = f"{counted(self.cells, 'cell')} to measure" + (f" ({', '.join(done)})" if done else "")
        beside = f" with {self.at_once} at a time" if self.at_once > 1 else ""
        parts = ", ".join(f"{name} {span_words(span)}" for name, span in self.parts.items() if span.high >= 1)
        if not self.cells and not self.seconds.high:
            return [cells]
        return [
            *self.plan,
            f"{cells}, {counted(self.engine_starts, 'engine start')}",
            f"about {span_words(self.seconds)}{beside} (a range of what is known of such engines, and no bound)",
            *([f"of that {parts}"] if parts else []),
            self._energy(),
            *self.doubts,
        ]

    def _energy(self) -> str:
        if self.kwh is None:
            return "no board says how much it may draw, so that energy is not known beforehand"
        low, high = self.kwh.low, self.kwh.high
        return (
            f"{low:.2g} to {high:.2g} kWh if the boards drew their power limits ({self.limit_w:.0f} W) all that time: "
            "they usually draw less"
        )

    def record(self) -> dict[str, Any]:
        """Return it for scripts."""
        steps = [] if self.preparation is None else self.preparation.steps
        return {
            "cells": self.cells,
            "measured": self.measured,
            "given_up": self.given_up,
            "engine_starts": self.engine_starts,
            "at_once": self.at_once,
            "seconds": self.seconds.middle,
            "seconds_low": self.seconds.low,
            "seconds_high": self.seconds.high,
            "parts": {name: [span.low, span.high] for name, span in self.parts.items()},
            "kwh_at_limit": None if self.kwh is None else [self.kwh.low, self.kwh.high],
            "plan": list(self.plan),
            "to_prepare": [vars(step) for step in steps],
            "disk_bytes": None if self.preparation is None else self.preparation.disk_bytes,
            "doubts": list(self.doubts),
        }


@dataclass(frozen=True)
class Outlook:
    """Hold what a forecast is made from."""

    units: Sequence[Sequence[PlannedCell]]
    """What is left; cells of a unit follow each other, ``at_once`` units are measured side by side."""
    reckoner: Reckoner
    limits_w: Sequence[float | None] = ()
    """The power limit of each board that is going to be used."""
    at_once: int = 1
    after: Sequence[PlannedCell] = ()
    """Cells that are measured again when all is done, one by one, each on an engine start of its own."""
    preparation: Preparation | None = None
    graded: bool = False
    calibration: Span = NOTHING
    cooldown: Span = NOTHING
    """Before each engine start but the first."""
    plan: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def forecast(outlook: Outlook, *, measured: int = 0, given_up: int = 0) -> Forecast:
    """Forecast from the plan and from what is known of models and hardware.

    Args:
        outlook: what is left to do.
        measured: cells that are there.
        given_up: cells that are left out, after failing too often."""
    units = outlook.units
    places = max(min(outlook.at_once, len(units)), 1)
    after = Span.sum(_with_starts(outlook, [cell]) for cell in outlook.after)
    prepared = outlook.preparation
    parts = {
        "downloads and builds": NOTHING if prepared is None else prepared.seconds,
        "calibration": outlook.calibration,
        "measuring": _side_by_side([_with_starts(outlook, unit) for unit in units], places) + after,
        "grading and report": _afterwards(outlook),
    }
    known = [limit for limit in outlook.limits_w if limit is not None]
    return Forecast(
        cells=sum(map(len, units)),
        measured=measured,
        given_up=given_up,
        engine_starts=sum(len(first_of_each_start(unit)) for unit in units),
        seconds=Span.sum(parts.values()),
        at_once=places,
        limit_w=sum(known) if known and len(known) == len(outlook.limits_w) else None,
        plan=outlook.plan,
        preparation=prepared,
        parts=parts,
        doubts=outlook.doubts,
    )


def _with_starts(outlook: Outlook, cells: Sequence[PlannedCell]) -> Span:
    """Sum up cells one after the other, and the starts of their engines."""
    starts = first_of_each_start(cells)
    measured = Span.sum(outlook.reckoner.cell(cell) for cell in cells)
    return measured + Span.sum(outlook.reckoner.start(cell) + outlook.cooldown for cell in starts)


def _side_by_side(units: Sequence[Span], places: int) -> Span:
    """Reckon until the last unit has ended, each being begun where a place is free."""

    def ended(durations: Sequence[float]) -> float:
        free_at_s = [0.0] * places
        for duration in durations:
            heapq.heapreplace(free_at_s, free_at_s[0] + duration)
        return max(free_at_s)

    return Span(ended([unit.low for unit in units]), ended([unit.high for unit in units]))


def _afterwards(outlook: Outlook) -> Span:
    """Reckon grading, tables and report."""
    cells = sum(map(len, outlook.units))
    answers = len(outlook.reckoner.tasks) * cells if outlook.graded else 0
    return _ANALYSED_S + _ANALYSED_A_CELL_S * cells + _GRADED_S * answers


def span_words(span: Span) -> str:
    """Write a span such as ``8 to 15 min``, or ``2 h 10 min to 6 h``."""
    low, high = _time_words(span.low), _time_words(span.high)
    if low == high:
        return low
    (number, *_, unit), (*_, other) = low.split(), high.split()
    shared = unit == other and low.count(" ") == high.count(" ") == 1
    return f"{number if shared else low} to {high}"


def _time_words(seconds: float) -> str:
    if seconds < _MINUTE_S:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    if minutes < _HOUR_MIN:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest:02d} min" if hours < _DAY_H else f"{hours} h"
