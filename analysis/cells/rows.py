"""Rows of ``tables/cells`` as they are collected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from analysis.energy.boundary import BoundaryEnergy
from analysis.metrics import metric
from analysis.validity.reasons import Check
from traces.layout import CellKey

Row = dict[str, Any]
Bounds = tuple[float | None, float | None]
Z95 = 1.959964  # two-sided 95 % of the normal distribution


class Rows:
    """Collects rows of one cell."""

    def __init__(self, key: CellKey) -> None:
        self._key = {"model": key.model, "variant": key.variant, "load": key.load, "block": key.block}
        self.rows: list[Row] = []

    def add(
        self,
        name: str,
        value: float | None,
        reasons: Iterable[str],
        *,
        energy: BoundaryEnergy | None = None,
        error: float | None = None,
        bounds: Bounds | None = None,
        kind: str = "measurement",
    ) -> None:
        """Add one row; valid where there is a value and no reason against it.

        Args:
            name: a metric of ``analysis/metrics.py``.
            value: None, or not finite, where it is not known.
            reasons: what stands against it.
            energy: the boundary and source that it is of, if any.
            error: its standard error; of 0 there is no interval, for no reading is that exact.
            bounds: the ends of its interval, where they are no error's.
            kind: of the interval.
        """
        known = value if value is not None and np.isfinite(value) else None
        against = set(reasons) or (set() if known is not None else {"not_available"})
        if known is not None and error:
            bounds = known - Z95 * error, known + Z95 * error
        row = figure(name, known, against, bounds=bounds if known is not None else None, kind=kind)
        self._keep({**row, "valid": not against}, energy)

    def add_check(self, check: Check, energy: BoundaryEnergy | None = None) -> None:
        """Add ``check:<code>``: the figure behind a reason; ``lo`` and ``hi`` are what is allowed."""
        value = check.value if check.value is not None and np.isfinite(check.value) else None
        bounds = None if check.lo is None and check.hi is None else (check.lo, check.hi)
        reasons = [check.code] if check.failed or check.noted else []
        row = figure(f"check:{check.code}", value, reasons, bounds=bounds, kind="allowed", unit=check.unit)
        self._keep({**row, "valid": not check.failed}, energy)

    def _keep(self, row: Row, energy: BoundaryEnergy | None) -> None:
        boundary, source = (energy.boundary, energy.source) if energy else (None, None)
        self.rows.append({**self._key, "boundary": boundary, "source": source, **row})


def figure(
    name: str,
    value: float | None,
    reasons: Iterable[str] = (),
    *,
    bounds: Bounds | None = None,
    kind: str = "blocks",
    unit: str | None = None,
) -> Row:
    """Return the columns that every table of metrics has; valid where there is a value.

    Args:
        name: a metric of ``analysis/metrics.py``, which knows its unit.
        value: None where there is none.
        reasons: why there is none, or no interval.
        bounds: the ends of its interval; None: it has none.
        kind: of the interval.
        unit: of what is no metric.
    """
    lo, hi = bounds or (None, None)
    return {
        "metric": name,
        "value": value,
        "unit": metric(name).unit if unit is None else unit,
        "lo": lo,
        "hi": hi,
        "interval_kind": kind if bounds else None,
        "valid": value is not None,
        "reasons": sorted(set(reasons)),
    }


def ratio(value: float | None, by: float | None) -> float | None:
    """Return a quotient; None where either is missing, or the divisor is 0."""
    return None if value is None or by is None or by == 0 else value / by
