"""A run's cells are laid over a series of prices: each hour counts by the joules that fell into it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from analysis.opened import OpenedRun, open_run
from analysis.report.export import export_tables
from analysis.results.costs import CostRow, cost_rows, read_factors
from analysis.results.placed import placed
from analysis.results.points import read_results
from starwatt_errors import UsageError
from tests.golden.world import World
from traces.layout import CellKey
from traces.streams import read_trace


def calendar_s(world: World, key: CellKey, at_ns: int) -> float:
    """Where a monotonic instant lies, by the pair of clocks in the requests."""
    said = pq.read_schema(world.run.cell(key) / "requests.parquet").metadata
    return (at_ns + int(said[b"realtime_ns"]) - int(said[b"monotonic_ns"])) / 1e9


def priced(folder: Path, *steps: tuple[float, float]) -> str:
    """A file of prices, each from an instant on."""
    lines = [f"{datetime.fromtimestamp(at_s, UTC).isoformat()},{price}\n" for at_s, price in steps]
    file = folder / "prices.csv"
    file.write_text("start,price (EUR/MWh)\n" + "".join(lines))
    return str(file)


def costs(run: OpenedRun, price: str, pue: float | None = None) -> dict[tuple[str, str], CostRow]:
    """By load and quantity, of 1000 requests."""
    rows = cost_rows(read_results(run), placed(run, read_factors(price, None, pue)))
    return {(row.condition.load, row.quantity): row for row in rows if row.per == "1000 requests"}


def test_an_hour_within_a_window_counts_by_its_joules(small: World, tmp_path: Path) -> None:
    run = open_run(small.run)
    for key, truth in small.truth.items():
        start_ns, end_ns = truth.start_ns, truth.end_ns
        middle_ns = start_ns + (end_ns - start_ns) // 3
        cut_s = calendar_s(small, key, middle_ns)
        rows = read_trace(small.run.cell(key), "power").to_pylist()
        counter = np.array([(row["t_ns"], row["energy_j"]) for row in rows if row["energy_j"] is not None]).T
        before, middle, after = np.interp([start_ns, middle_ns, end_ns], counter[0], counter[1])
        share = (middle - before) / (after - before)
        totals = costs(
            run, priced(tmp_path, (cut_s - 1e4, 100), (cut_s, 300), (cut_s + 1e4, 100), (cut_s + 2e4, 1))
        )
        energy_wh = totals[key.load, "energy"].value
        cost = totals[key.load, "cost"]
        assert energy_wh is not None
        assert cost.value == pytest.approx(energy_wh * 1e-6 * (100 * share + 300 * (1 - share)), rel=0.02)
        assert (cost.unit, cost.stated) == ("EUR", "by the hour, prices.csv")
        assert energy_wh * 100e-6 < (cost.value or 0) < energy_wh * 300e-6


def test_a_price_that_never_changes_is_what_it_is_as_one_figure(small: World, tmp_path: Path) -> None:
    run = open_run(small.run)
    at_s = calendar_s(small, small.cell_keys()[0], next(iter(small.truth.values())).start_ns)
    series = priced(tmp_path, *((at_s + 3600 * hour, 85) for hour in range(-30, 30)))
    by_hour, as_one = costs(run, series, 1.2), costs(run, "85 EUR/MWh", 1.2)
    for place, row in as_one.items():
        assert by_hour[place].value == pytest.approx(row.value, rel=1e-12)
        assert by_hour[place].bounds == row.bounds is None  # of one block there is none
    assert by_hour[next(iter(small.truth)).load, "cost"].stated == "by the hour, prices.csv, PUE 1.2"
    export_tables(run.dir, tmp_path, placed(run, read_factors(series, None, None)))
    stated = {row["stated"] for row in pq.read_table(tmp_path / "costs.parquet").to_pylist()}
    assert "by the hour, prices.csv" in stated


def test_a_series_of_other_days_is_refused_with_the_days_of_both(small: World, tmp_path: Path) -> None:
    run = open_run(small.run)
    series = priced(tmp_path, (0.0, 85), (3600.0, 85))
    with pytest.raises(UsageError, match=r"has no value for all of .* it goes from 1970-01-01 00:00 UTC"):
        costs(run, series)
