"""Analysis of a simulated run against the world's own truth."""

from __future__ import annotations

import dataclasses
import math
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from analysis.tables import analyze, read_table
from tests.golden.engine import Load
from tests.golden.world import ENGINES, MODEL_NAME, Sensor, World, write_rows
from tests.support.tables import metrics, row
from traces.layout import CellKey
from traces.schemas import POWER
from traces.streams import read_trace

MODELLED = Sensor(source="modelled", boundary="cpu", device="engine")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Three variants, three loads, three blocks, read by a GPU-like sensor."""
    return World(tmp_path_factory.mktemp("golden") / "run").build()


@pytest.fixture(scope="module")
def cells(world: World) -> pd.DataFrame:
    """``tables/cells`` of that world."""
    summary = analyze(world.run)
    assert summary.measured == summary.cells == 27
    assert summary.invalid == ()
    table: pd.DataFrame = read_table(world.run, "cells").to_pandas()
    return table


def test_window_joules_and_joules_per_request_are_the_worlds(world: World, cells: pd.DataFrame) -> None:
    for key, truth in world.truth.items():
        values = metrics(cells, key)
        assert values.window_s == pytest.approx((truth.end_ns - truth.start_ns) / 1e9, rel=1e-12)
        assert values.energy_gross_j == pytest.approx(truth.energy_j, rel=0.005)
        assert values.energy_integral_j == pytest.approx(truth.energy_j, rel=0.01)
        assert values.requests_in_window == pytest.approx(truth.requests, rel=1e-9)
        assert values.output_tokens_in_window == pytest.approx(truth.tokens, rel=1e-9)
        assert values.j_per_request == pytest.approx(truth.j_per_request, rel=0.005)
        assert values.power_idle_w == pytest.approx(truth.idle_w, rel=0.005)
        net = truth.energy_j - truth.idle_w * (truth.end_ns - truth.start_ns) / 1e9
        assert values.energy_net_j == pytest.approx(net, rel=0.02)


def test_a_modelled_counter_gives_the_worlds_joules_exactly(tmp_path: Path) -> None:
    world = World(tmp_path / "run", variants=("bf16",), blocks=1, sensor=MODELLED).build()
    analyze(world.run)
    table = read_table(world.run, "cells").to_pandas()
    assert set(table.source.dropna()) == {"modelled"}
    for key, truth in world.truth.items():
        assert metrics(table, key).energy_gross_j == pytest.approx(truth.energy_j, rel=0.002)


def test_without_a_counter_the_integral_is_used(tmp_path: Path) -> None:
    world = World(tmp_path / "run", variants=("bf16",), blocks=1).build()
    for key in world.cell_keys():
        rows = read_trace(world.run.cell(key), "power").to_pylist()
        write_rows(world.run.cell(key), "power", POWER, [{**reading, "energy_j": None} for reading in rows])
    assert analyze(world.run).invalid == ()
    table = read_table(world.run, "cells").to_pandas()
    for key, truth in world.truth.items():
        values = metrics(table, key)
        assert math.isnan(values.energy_counter_j)
        assert values.energy_gross_j == values.energy_integral_j == pytest.approx(truth.energy_j, rel=0.01)


def test_each_rule_conserves_the_windows_joules(world: World, cells: pd.DataFrame) -> None:
    for key in world.cell_keys():
        values = metrics(cells, key)
        for rule in ("in_flight", "tokens"):
            parts = sum(values[f"energy_{rule}_{part}_j"] for part in ("measured", "other", "unattributed"))
            assert parts == pytest.approx(values.energy_gross_j, rel=1e-9)


def test_joules_in_flight_are_the_worlds_request_by_request(tmp_path: Path, world: World) -> None:
    fine = World(
        tmp_path / "run",
        variants=("bf16",),
        blocks=1,
        sensor=dataclasses.replace(MODELLED, period_ns=5_000_000),
    )
    fine.build()
    analyze(fine.run)
    table = read_table(fine.run, "requests").to_pandas()
    assert set(table.role) == {"measured"}
    for key, truth in fine.truth.items():
        rows = table[table.load == key.load]
        assert len(rows) == fine.tasks
        for identity, joules in zip(rows.request_id, rows.energy_in_flight_j, strict=True):
            assert joules == pytest.approx(truth.in_flight_j[identity], rel=0.01)


def test_the_factor_of_batching_is_the_worlds(world: World, cells: pd.DataFrame) -> None:
    table = read_table(world.run, "contrasts").to_pandas()
    factors = table[table.metric == "energy_factor"]
    assert len(factors) == len(world.variants) * 2
    for factor in factors.itertuples():
        ratios = [
            world.truth[dataclasses.replace(key, load="single-stream")].j_per_request / truth.j_per_request
            for key, truth in world.truth.items()
            if (key.variant, key.load) == (factor.variant, factor.load)
        ]
        expected = math.exp(sum(math.log(ratio) for ratio in ratios) / len(ratios))
        assert factor.value == pytest.approx(expected, rel=0.005)
        assert factor.lo < expected < factor.hi
        assert factor.blocks == 3


def test_the_log_ratio_of_a_variant_splits_into_tokens_and_joules_per_token(
    world: World, cells: pd.DataFrame
) -> None:
    table = read_table(world.run, "contrasts").to_pandas()
    table = table[table.contrast == "variant_vs_baseline"]
    assert set(table.variant) == {"int8-bnb", "pruned-last-1"}
    for _, rows in table.groupby(["variant", "load"]):
        value = rows.set_index("metric").value
        product = value.tokens_per_request_ratio * value.j_per_output_token_ratio
        assert value.j_per_request_ratio == pytest.approx(product, rel=1e-9)


def test_pass_at_1_and_joules_per_solved_task(world: World, cells: pd.DataFrame) -> None:
    values = metrics(cells, CellKey(MODEL_NAME, "int8-bnb", "closed-8", 2))
    assert values.pass_at_1_plus == 0.75
    assert values.j_per_solved_task == pytest.approx(values.j_per_request / 0.75)
    nothing = cells[(cells.variant == "pruned-last-1") & (cells.metric == "j_per_solved_task")]
    assert nothing.value.isna().all()
    assert {tuple(reasons) for reasons in nothing.reasons} == {("none_solved",)}
    accuracy = read_table(world.run, "accuracy").to_pandas()
    int8 = accuracy[(accuracy.variant == "int8-bnb") & (accuracy.load == "closed-8")]
    assert int8.samples.tolist() == [3] * 24
    assert int8.plus_passed.sum() == 3 * 18
    assert int8.graded.all()


def test_joules_are_divided_by_everything_that_is_asked_for(world: World, cells: pd.DataFrame) -> None:
    for key, truth in world.truth.items():
        values = metrics(cells, key)
        assert values.wh_per_1000_requests == pytest.approx(values.j_per_request * 1000 / 3600)
        total = values.energy_gross_j / values.j_per_total_token
        assert total > truth.tokens
        rows = cells[(cells.load == key.load) & (cells.variant == key.variant) & (cells.block == key.block)]
        kinds = rows.set_index("metric").interval_kind
        for metric in ("j_per_output_token", "j_per_total_token", "wh_per_1000_requests", "j_per_completion"):
            assert kinds[metric] == "measurement"
        assert kinds["j_per_request"] == kinds["energy_gross_j"] == "measurement"
        assert kinds["energy_idle_j"] == "idle_before_after"
        assert kinds["j_per_request_net"] == "measurement_and_idle"
        spread = [values[f"energy_in_flight_request_p{q}_j"] for q in (10, 50, 90, 99)]
        assert spread == sorted(spread)


def test_joules_per_request_within_the_slo_count_only_requests_that_kept_it(small: World) -> None:
    analyze(small.run)
    table = read_table(small.run, "requests").to_pandas()
    latencies = table[table.load == "closed-8"].e2e_ms
    before = row(small.run, "closed-8", "j_per_request").value
    study = yaml.safe_load(small.run.study.read_text())
    for bound, share in ((float(latencies.median()), 0.5), (float(latencies.max()) + 1, 1.0), (0.5, 0.0)):
        study["slo"] = {"e2e_ms": bound}
        small.run.study.write_text(yaml.safe_dump(study))
        analyze(small.run)
        assert row(small.run, "closed-8", "slo_share").value == pytest.approx(share)
        line = row(small.run, "closed-8", "j_per_request_in_slo")
        if share:
            assert line.value >= before
        else:
            assert math.isnan(line.value)
            assert list(line.reasons) == ["none_in_slo"]


def test_curves_over_concurrency_tell_what_is_shared_and_where_variants_cross(tmp_path: Path) -> None:
    loads = (Load("single-stream"), Load("closed-4", concurrency=4), Load("closed-8", concurrency=8))
    world = World(tmp_path / "run", variants=("bf16", "int8-bnb", "pruned-last-1"), loads=loads).build()
    analyze(world.run)
    table = read_table(world.run, "contrasts").to_pandas()
    curve = table[table.contrast == "saturation"].set_index(["variant", "metric"])
    for variant, engine in ENGINES.items():
        own, shared, misfit = (
            curve.loc[(variant, f"saturation_{name}")] for name in ("own", "shared", "misfit")
        )
        mean_tokens = 55.0  # answers are 20 to 90 tokens
        assert shared.value == pytest.approx(mean_tokens * (engine.step_j + 50 * engine.step_s), rel=0.25)
        assert own.value < shared.value / 4
        assert misfit.value < 0.05
        assert own.lo < own.value < own.hi
    crossed = table[(table.contrast == "crossover") & (table.metric == "crossover_concurrency")]
    assert set(crossed.variant) == {"int8-bnb", "pruned-last-1"}
    assert {tuple(reasons) for reasons in crossed.reasons} == {("no_crossover",)}
    family = table[table.metric == "j_per_request_ratio_simultaneous"]
    alone = table[table.metric == "j_per_request_ratio"]
    assert set(family.interval_kind) == {"blocks_simultaneous"}
    assert (family.hi.to_numpy() > alone.hi.to_numpy()).all()
    adjusted = table[table.metric == "j_per_request_ratio_p_holm"].value.to_numpy()
    assert (adjusted >= table[table.metric == "j_per_request_ratio_p"].value.to_numpy()).all()


def test_deleted_tables_come_back_byte_for_byte(small: World) -> None:
    analyze(small.run)
    names = ("cells", "requests", "contrasts", "accuracy")
    before = {name: small.run.table(name).read_bytes() for name in names}
    shutil.rmtree(small.run.table("cells").parent)
    analyze(small.run)
    assert {name: small.run.table(name).read_bytes() for name in names} == before


def test_one_block_gives_a_factor_without_an_interval_and_says_why(small: World) -> None:
    analyze(small.run)
    table = read_table(small.run, "contrasts").to_pandas()
    factor = table[table.metric == "energy_factor"].iloc[0]
    assert factor.valid
    assert factor.value > 1
    assert math.isnan(factor.lo)
    assert list(factor.reasons) == ["too_few_blocks"]


def test_one_engine_start_gives_variants_no_interval_but_loads_one(tmp_path: Path) -> None:
    world = World(tmp_path / "run", variants=("bf16", "int8-bnb"), engine_restarts="once").build()
    analyze(world.run)
    table = read_table(world.run, "contrasts").to_pandas()
    variants = table[(table.contrast == "variant_vs_baseline") & (table.interval_kind != "gain")]
    assert variants.lo.isna().all()
    assert all("one_engine_start" in reasons for reasons in variants.reasons)
    assert variants.value.notna().all()
    assert table[table.metric == "energy_factor"].lo.notna().all()
