"""What is wrong with a cell's files becomes a reason in the table: never an exception, and never a silent 0."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.report import write_report
from analysis.tables import analyze, read_table
from analysis.verify.run import verify
from tests.golden.engine import SECOND
from tests.golden.world import LOADS, World, write_rows
from traces.schemas import POWER, REQUESTS
from traces.streams import read_trace

JOULES = ("energy_gross_j", "j_per_request", "j_per_output_token")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """One variant, single-stream and eight in flight, one block."""
    return World(tmp_path / "run", variants=("bf16",), loads=LOADS[:2], blocks=1).build()


def change(world: World, name: str, edit: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    """Rewrite a trace of the second cell."""
    folder = world.run.cell(world.cell_keys()[1])
    rows = read_trace(folder, name).to_pylist()
    write_rows(folder, name, {"requests": REQUESTS, "power": POWER}[name], edit(rows))


def cut_off(world: World) -> None:
    """The end of a Parquet file is where its schema lies."""
    path = world.run.cell(world.cell_keys()[1]) / "power.parquet"
    path.write_bytes(path.read_bytes()[:-50])


def no_power(world: World) -> None:
    (world.run.cell(world.cell_keys()[1]) / "power.parquet").unlink()


def an_empty_power_trace(world: World) -> None:
    change(world, "power", lambda _: [])


def power_that_is_not_a_number(world: World) -> None:
    change(world, "power", lambda rows: [{**row, "power_w": math.nan, "energy_j": math.nan} for row in rows])


def power_with_a_stretch_of_nan(world: World) -> None:
    truth = world.truth[world.cell_keys()[1]]
    middle = (truth.start_ns + truth.end_ns) // 2

    def edit(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Without a counter: it would go on beneath the hole."""
        rows = [{**row, "energy_j": None} for row in rows]
        return [{**row, "power_w": math.nan} if abs(row["t_ns"] - middle) < SECOND else row for row in rows]

    change(world, "power", edit)


def requests_outside_of_what_power_covers(world: World) -> None:
    truth = world.truth[world.cell_keys()[1]]
    change(world, "power", lambda rows: [row for row in rows if row["t_ns"] < truth.start_ns + SECOND])


def requests_far_away_from_power(world: World) -> None:
    change(world, "power", lambda rows: [{**row, "t_ns": row["t_ns"] + 10_000 * SECOND} for row in rows])


def a_negative_duration(world: World) -> None:
    change(
        world, "requests", lambda rows: [{**rows[9], "end_ns": rows[9]["sent_ns"] - 1}, *rows[:9], *rows[10:]]
    )


def no_request_completed(world: World) -> None:
    change(world, "requests", lambda rows: [{**row, "status": "timeout", "end_ns": None} for row in rows])


def no_request_at_all(world: World) -> None:
    """Nor a verdict: one on a request that is not there would be found first."""
    (world.run.cell(world.cell_keys()[1]) / "grades.parquet").unlink()
    change(world, "requests", lambda _: [])


def tokens_that_nobody_counted(world: World) -> None:
    change(
        world, "requests", lambda rows: [{**row, "chunk_tokens": None, "output_tokens": None} for row in rows]
    )


CASES: dict[Callable[[World], None], str] = {
    cut_off: "trace_damaged",
    no_power: "no_power",
    an_empty_power_trace: "no_power",
    power_that_is_not_a_number: "no_power",
    power_with_a_stretch_of_nan: "power_gap",
    requests_outside_of_what_power_covers: "power_gap",
    requests_far_away_from_power: "power_gap",
    a_negative_duration: "bad_times",
    no_request_completed: "no_completed_request",
    no_request_at_all: "no_completed_request",
    tokens_that_nobody_counted: "tokens_unknown",
}


@pytest.mark.parametrize("spoil", CASES, ids=lambda one: one.__name__)
def test_bad_input_is_a_reason_in_the_table_and_never_a_silent_0(
    world: World, spoil: Callable[[World], None]
) -> None:
    spoil(world)
    summary = analyze(world.run)
    assert [cell.key.load for cell in summary.invalid] == ["closed-8"]
    assert CASES[spoil] in summary.invalid[0].reasons
    table = read_table(world.run, "cells").to_pandas()
    table = table[table.load == "closed-8"]
    joules = table[table.metric.isin(JOULES)]
    assert not joules.valid.any()
    assert not (joules.value == 0).any()
    assert any(CASES[spoil] in reasons for reasons in table.reasons)
    contrasts = read_table(world.run, "contrasts").to_pandas()
    factor = contrasts[contrasts.metric == "energy_factor"]
    assert not factor.valid.any()
    assert factor.value.isna().all()
    write_report(world.run)
    kinds = {finding.kind for finding in verify(world.run).findings}
    assert kinds & {"invalid_cell", "trace_damaged"}
    assert not kinds & {"table_differs", "report_differs"}


def test_one_block_has_figures_and_says_why_it_has_no_interval(world: World) -> None:
    assert analyze(world.run).invalid == ()
    table = read_table(world.run, "contrasts").to_pandas()
    for metric in ("energy_factor", "energy_factor_p", "energy_factor_simultaneous", "flips_between_repeats"):
        row = table[table.metric == metric].iloc[0]
        assert "too_few_blocks" in row.reasons
        assert math.isnan(row.lo)
    assert read_table(world.run, "cells").to_pandas().value.notna().any()
