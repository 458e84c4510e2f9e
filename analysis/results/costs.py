"""What joules cost in money and carbon, by factors that somebody states: rows of their own beside the measured ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType

from analysis.keys import Condition
from analysis.results.points import Bounds, Point, Results
from starwatt_errors import UsageError

JOULES_PER_WH = 3600.0
PER = MappingProxyType(
    {"1000 requests": ("j_per_request", 1000.0), "solved task": ("j_per_solved_task", 1.0)}
)
"""What costs are of: the metric whose joules they are, and how many of it."""
_FACTOR = re.compile(
    r"(?P<symbol>[^\d\s/.-]*)\s*(?P<amount>\d+(?:\.\d+)?)\s*(?P<unit>[^\d\s/.][^\s/]*)?\s*/\s*(?P<energy>[kM]?Wh)"
)
_WH = {"Wh": 1.0, "kWh": 1e3, "MWh": 1e6}
_GRAMS = {"g": 1.0, "kg": 1e3, "mg": 1e-3, "t": 1e6}


@dataclass(frozen=True)
class Factors:
    """What somebody states: none of it is measured.

    ``price_per_wh`` is in ``currency`` (empty where it was not named), ``carbon_g_per_wh`` in grams of CO2 equivalent;
    None where it is not stated. ``pue`` is what the building draws for each joule of the machines.
    """

    price_per_wh: float | None = None
    currency: str = ""
    carbon_g_per_wh: float | None = None
    pue: float = 1.0


@dataclass(frozen=True)
class CostRow:
    """One condition's energy, price or carbon, for one thing that was done; the interval is that of its joules."""

    condition: Condition
    per: str
    quantity: str  # energy, cost, carbon
    unit: str
    value: float | None
    bounds: Bounds | None
    stated: str  # the factors in it; empty: it is as the meter has it
    reasons: tuple[str, ...]


def read_factors(price: str | None, carbon: str | None, pue: float | None) -> Factors:
    """Read factors as people write them: ``0.30 EUR/kWh``, ``350 g/kWh``, ``1.2``.

    Raises:
        UsageError: one of them is not of this form, or no such factor can be.
    """
    price_per_wh, currency = (None, "") if price is None else _read("--price", price, "0.30 EUR/kWh")
    grams = None
    if carbon is not None:
        amount, unit = _read("--carbon", carbon, "350 g/kWh")
        scale = _GRAMS.get(re.sub(r"CO2(e|eq)?$", "", unit))
        if scale is None:
            raise UsageError(f"--carbon is {carbon!r}: it takes grams of CO2 equivalent, such as 350 g/kWh")
        grams = amount * scale
    if pue is not None and not 1 <= pue <= 10:
        raise UsageError(
            f"--pue is {pue:g}: it takes what the building draws over what its machines draw, from 1 to 10"
        )
    return Factors(price_per_wh, currency, grams, 1.0 if pue is None else pue)


def _read(flag: str, text: str, example: str) -> tuple[float, str]:
    """Read an amount for each Wh, and the unit that it is in."""
    found = _FACTOR.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{flag} is {text!r}: it takes an amount for each kWh, such as {example}")
    return float(found["amount"]) / _WH[found["energy"]], found["symbol"] or found["unit"] or ""


def cost_rows(results: Results, factors: Factors) -> list[CostRow]:
    """Give energy, price and carbon of every condition, those alone whose factor is stated."""
    return [row for point in results.points for per in PER for row in _rows(point, per, factors)]


def _rows(point: Point, per: str, factors: Factors) -> Iterator[CostRow]:
    metric, many = PER[per]
    if metric not in point.values and metric not in point.reasons:
        return
    value, bounds, why = point.mean(metric), point.interval(metric), point.why([metric])
    for quantity, unit, each_wh, stated in _quantities(factors):
        scale = each_wh * many / JOULES_PER_WH
        yield CostRow(
            point.condition, per, quantity, unit,
            None if value is None else value * scale,
            None if bounds is None else (bounds[0] * scale, bounds[1] * scale),
            stated, why,
        )  # fmt: skip


def _quantities(factors: Factors) -> Iterator[tuple[str, str, float, str]]:
    """List each quantity, its unit, how much of it a Wh of the machines is, and the stated factors in it, in words."""
    pue = f"PUE {factors.pue:g}" if factors.pue != 1 else ""
    yield "energy", "Wh", 1.0, ""
    if pue:
        yield "energy with PUE", "Wh", factors.pue, pue
    for quantity, unit, per_wh in (
        ("cost", factors.currency, factors.price_per_wh),
        ("carbon", "gCO2e", factors.carbon_g_per_wh),
    ):
        if per_wh is not None:
            amount = f"{per_wh * 1e3:g} {unit}".strip() + "/kWh"
            yield quantity, unit, per_wh * factors.pue, ", ".join(filter(None, (amount, pue)))
