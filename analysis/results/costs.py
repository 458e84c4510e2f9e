"""What joules cost in money and carbon, by factors that somebody states: rows of their own beside the measured ones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from analysis.keys import Condition
from analysis.results.hourly import WH, Hourly, grams_of, read_hourly
from analysis.results.points import Bounds, Point, Results
from starwatt_errors import UsageError
from traces.layout import CellKey

JOULES_PER_WH = 3600.0
PER = MappingProxyType(
    {"1000 requests": ("j_per_request", 1000.0), "solved task": ("j_per_solved_task", 1.0)}
)
"""What costs are of: the metric whose joules they are, and how many of it."""
_FACTOR = re.compile(
    r"(?P<symbol>[^\d\s/.-]*)\s*(?P<amount>\d+(?:\.\d+)?)\s*(?P<unit>[^\d\s/.][^\s/]*)?\s*/\s*(?P<energy>[kM]?Wh)"
)


@dataclass(frozen=True)
class Factors:
    """The prices and shares that somebody states: none is measured.

    ``price_per_wh`` is in ``currency`` (empty where it was not named), ``carbon_g_per_wh`` in grams of CO2 equivalent;
    None where it is not stated, or is a series. ``pue`` is what the building draws for each joule of the machines.
    """

    price_per_wh: float | None = None
    currency: str = ""
    carbon_g_per_wh: float | None = None
    pue: float = 1.0
    price_series: Hourly | None = None
    carbon_series: Hourly | None = None
    by_cell: Mapping[str, Mapping[CellKey, float]] = field(default_factory=dict)
    """By ``cost`` and ``carbon``, where these are series: what a Wh of each cell was (``placed.py``)."""


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


def read_factors(
    price: str | None, carbon: str | None, pue: float | None, zone: str | None = None
) -> Factors:
    """Read factors as people write them: ``0.30 EUR/kWh``, ``350 g/kWh``, ``1.2``, or a CSV file of price or carbon.

    ``zone`` is that of times in such a file that name none.

    Raises:
        UsageError: one of them is not of this form, or no such factor can be.
    """
    prices = _series("--price", price, zone, carbon=False)
    grid = _series("--carbon", carbon, zone, carbon=True)
    if zone is not None and prices is None and grid is None:
        raise UsageError("--zone goes with a CSV file of prices or carbon")
    price_per_wh, currency = None, "" if prices is None else prices.unit
    if price is not None and prices is None:
        price_per_wh, currency = _read("--price", price, "0.30 EUR/kWh")
    grams = None if carbon is None or grid is not None else _read_grams(carbon)
    if pue is not None and not 1 <= pue <= 10:
        raise UsageError(
            f"--pue is {pue:g}: it takes what the building draws over what its machines draw, from 1 to 10"
        )
    return Factors(price_per_wh, currency, grams, 1.0 if pue is None else pue, prices, grid)


def _series(flag: str, text: str | None, zone: str | None, *, carbon: bool) -> Hourly | None:
    """Read a factor that is meant to be a file: it is no figure, and ends as a file or is there; None: it is not."""
    if text is None or _FACTOR.fullmatch(text.strip()) is not None:
        return None
    is_file = ".csv" in text.lower() or Path(text).is_file()
    return read_hourly(flag, text, zone, carbon=carbon) if is_file else None


def _read_grams(carbon: str) -> float:
    amount, unit = _read("--carbon", carbon, "350 g/kWh")
    scale = grams_of(unit)
    if scale is None:
        raise UsageError(f"--carbon is {carbon!r}: it takes grams of CO2 equivalent, such as 350 g/kWh")
    return amount * scale


def _read(flag: str, text: str, example: str) -> tuple[float, str]:
    """Read an amount for each Wh, and the unit that it is in."""
    match = _FACTOR.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{flag} is {text!r}: it takes an amount for each kWh, such as {example}")
    return float(match["amount"]) / WH[match["energy"].lower()], match["symbol"] or match["unit"] or ""


def cost_rows(results: Results, factors: Factors) -> list[CostRow]:
    """Give energy, price and carbon of every condition, those alone whose factor is stated."""
    return [row for point in results.points for per in PER for row in _rows(results, point, per, factors)]


def _rows(results: Results, point: Point, per: str, factors: Factors) -> Iterator[CostRow]:
    metric, many = PER[per]
    if metric not in point.values and metric not in point.reasons:
        return
    value, bounds, why = point.mean(metric), point.interval(metric), point.why([metric])
    for quantity, unit, each_wh, stated in _quantities(factors):
        each = _by_cell(results, point, metric, factors, quantity) if each_wh is None else each_wh
        if each is None:
            yield CostRow(point.condition, per, quantity, unit, None, None, stated, why)
            continue
        scale = each * many / JOULES_PER_WH
        yield CostRow(
            point.condition, per, quantity, unit,
            None if value is None else value * scale,
            None if bounds is None else (bounds[0] * scale, bounds[1] * scale),
            stated, why,
        )  # fmt: skip


def _by_cell(results: Results, point: Point, metric: str, factors: Factors, quantity: str) -> float | None:
    """Average what a Wh was over a condition's cells, each weighted by its joules; None where it has none."""
    joules = results.by_block(point.condition, metric, results.pair)
    per_wh = factors.by_cell[quantity]
    known = [
        (value, per_wh[key])
        for block, value in joules.items()
        if (key := point.condition.cell(block)) in per_wh
    ]
    total = sum(value for value, _ in known)
    return sum(value * each for value, each in known) / total * factors.pue if total else None


def _quantities(factors: Factors) -> Iterator[tuple[str, str, float | None, str]]:
    """List each quantity, its unit, how much of it a Wh of the machines is, and the stated factors in it, in words.

    How much is None where it differs by the hour.
    """
    pue = f"PUE {factors.pue:g}" if factors.pue != 1 else ""
    yield "energy", "Wh", 1.0, ""
    if pue:
        yield "energy with PUE", "Wh", factors.pue, pue
    for quantity, unit, per_wh, series in (
        ("cost", factors.currency, factors.price_per_wh, factors.price_series),
        ("carbon", "gCO2e", factors.carbon_g_per_wh, factors.carbon_series),
    ):
        if series is not None:
            yield quantity, unit, None, ", ".join(filter(None, (f"by the hour, {series.name}", pue)))
        elif per_wh is not None:
            amount = f"{per_wh * 1e3:g} {unit}".strip() + "/kWh"
            yield quantity, unit, per_wh * factors.pue, ", ".join(filter(None, (amount, pue)))
