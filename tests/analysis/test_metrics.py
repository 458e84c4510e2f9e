"""The registry of metrics is what the tables hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from analysis.metrics import METRICS, PLACES, metric
from analysis.tables import analyze, read_table
from tests.golden.engine import Load
from tests.golden.world import World

LOADS = (Load("single-stream"), Load("closed-4", concurrency=4), Load("closed-16", concurrency=16))


def test_a_family_of_metrics_has_a_name_a_label_and_a_unit_for_each_member() -> None:
    assert metric("ttft_p99_ms").titled == "TTFT p99, ms"
    assert metric("pass_at_10_plus").label == "pass@10 base and plus"
    assert metric("energy_in_flight_request_p90_j").name == "energy_in_flight_request_p90_j"
    assert (metric("trend_power").unit, metric("trend_temperature").unit) == ("ratio", "°C")


def test_a_name_that_is_not_in_the_registry_is_none() -> None:
    for name in ("joules", "ttft_p98_ms", "xj_per_request", "energy_guess_measured_j"):
        with pytest.raises(KeyError):
            metric(name)


def test_no_name_stands_for_two_metrics_and_every_placeholder_is_known() -> None:
    names = [entry.name for group in METRICS.values() for entry in group]
    assert len(names) == len(set(names))
    assert {place for name in names for place in re.findall(r"<(\w+)>", name)} <= PLACES.keys()


def test_boundaries_are_those_that_the_registry_says(tmp_path: Path) -> None:
    run = World(tmp_path / "run", variants=("bf16", "int8-bnb"), loads=LOADS).build().run
    analyze(run)
    rows = [row for name in ("cells", "contrasts") for row in read_table(run, name).to_pylist()]
    rows = [row for row in rows if not row["metric"].startswith("check:")]
    assert {metric(row["metric"]).unit == row["unit"] for row in rows} == {True}
    wrong = {
        row["metric"] for row in rows if metric(row["metric"]).each_boundary != (row["boundary"] is not None)
    }
    assert wrong == set()
