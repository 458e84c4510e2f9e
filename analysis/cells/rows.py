"""Rows of ``tables/cells`` as they are collected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from analysis.energy.boundary import BoundaryEnergy
from analysis.validity.reasons import Check
from traces.layout import CellKey

Row = dict[str, Any]
Z95 = 1.959964  # two-sided 95 % of the normal distribution


class Rows:
    """Collects rows of one cell."""

    def __init__(self, key: CellKey) -> None:
        self._key = {"model": key.model, "variant": key.variant, "load": key.load, "block": key.block}
        self.rows: list[Row] = []

    def add(
        self,
        metric: str,
        value: float | None,
        unit: str,
        reasons: Iterable[str],
        *,
        energy: BoundaryEnergy | None = None,
        error: float | None = None,
    ) -> None:
        """One row; valid where there is a value and no reason against it.

        ``error`` is a standard error; of 0 there is no interval, for no reading is that exact.
        """
        known = value is not None and np.isfinite(value)
        against = sorted(set(reasons)) or ([] if known else ["not_available"])
        half = Z95 * error if known and error else None
        self.rows.append(
            {
                **self._key,
                "boundary": energy.boundary if energy else None,
                "source": energy.source if energy else None,
                "metric": metric,
                "value": value if known else None,
                "unit": unit,
                "lo": value - half if value is not None and half is not None else None,
                "hi": value + half if value is not None and half is not None else None,
                "interval_kind": "measurement" if half is not None else None,
                "valid": not against,
                "reasons": against,
            }
        )

    def add_check(self, check: Check, energy: BoundaryEnergy | None = None) -> None:
        """``check:<code>``: the figure behind a reason; ``lo`` and ``hi`` are what is allowed."""
        self.add(f"check:{check.code}", check.value, check.unit, [], energy=energy)
        kind = None if check.lo is None and check.hi is None else "allowed"
        reasons = [check.code] if check.failed or check.noted else []
        self.rows[-1].update(
            lo=check.lo, hi=check.hi, interval_kind=kind, valid=not check.failed, reasons=reasons
        )


def ratio(value: float | None, by: float | None) -> float | None:
    """A quotient; None where either is missing, or the divisor is 0."""
    return None if value is None or by is None or by == 0 else value / by
