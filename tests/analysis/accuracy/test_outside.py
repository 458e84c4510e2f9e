"""Tokens outside of the code that was graded are counted, and their joules are what the rules charge for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.accuracy.outside import covered
from analysis.tables import analyze, read_table
from tests.golden.world import World, write_rows
from traces.schemas import GRADES, REQUESTS
from traces.streams import read_trace

SHARE = "tokens_outside_solution_share"
BY_TOKENS, BY_PHASE = (f"j_per_request_outside_solution_{rule}" for rule in ("tokens", "phase"))


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=12),
    st.lists(st.integers(0, 30), min_size=0, max_size=6).map(sorted),
)
def test_each_character_is_in_the_code_or_outside_of_it(chars: list[int], marks: list[int]) -> None:
    total = sum(chars)
    edges = [min(mark, total) for mark in marks[: len(marks) // 2 * 2]]
    inside = {at for start, end in zip(edges[::2], edges[1::2], strict=True) for at in range(start, end)}
    shares = covered(chars, edges)
    place = 0
    for count, share in zip(chars, shares, strict=True):
        covered_chars = sum(at in inside for at in range(place, place + count))
        assert share == pytest.approx(covered_chars / count if count else 0.0)
        place += count


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """One variant under three loads."""
    return World(tmp_path_factory.mktemp("outside") / "run", variants=("bf16",), blocks=1).build()


def told(world: World, inside: float | None) -> pd.DataFrame:
    """The cells' metrics by load, where this share of each answer's characters, a token each, is the code's."""
    for key in world.cell_keys():
        folder = world.run.cell(key)
        requests, grades = read_trace(folder, "requests"), read_trace(folder, "grades").to_pylist()
        rows: list[dict[str, Any]] = requests.to_pylist()
        length = {row["request_id"]: len(row["chunk_ns"]) for row in rows}
        for row in rows:
            row["completion"], row["chunk_chars"] = "x" * len(row["chunk_ns"]), [1] * len(row["chunk_ns"])
        for grade in grades:
            count = length[grade["request_id"]]
            grade["solution_chars"] = None if inside is None else [0, round(inside * count)]
        write_rows(folder, "requests", REQUESTS, rows)
        write_rows(folder, "grades", GRADES, grades)
    analyze(world.run)
    table = read_table(world.run, "cells").to_pandas()
    found: pd.DataFrame = table.pivot_table(
        index="load", columns="metric", values="value", aggfunc="first", dropna=False
    )
    return found


def test_half_of_an_answer_costs_half_of_its_tokens(world: World) -> None:
    half, whole, none = told(world, 0.5), told(world, 0.0), told(world, 1.0)
    assert (none[[SHARE, BY_TOKENS, BY_PHASE]] == 0).all().all()
    assert (whole[SHARE] == 1).all()
    assert half[SHARE].to_numpy() == pytest.approx(0.5, abs=0.02)
    for load in half.index:
        shares = half[SHARE][load]
        assert half[BY_TOKENS][load] == pytest.approx(shares * whole[BY_TOKENS][load])
        measured = whole["energy_tokens_measured_j"][load] / whole["requests_completed"][load]
        assert whole[BY_TOKENS][load] == pytest.approx(measured)
        prompts = whole["energy_phase_measured_j"][load] / whole["requests_completed"][load]
        assert 0 < half[BY_PHASE][load] < whole[BY_PHASE][load] < prompts


def test_what_is_not_known_is_null_with_its_reason(world: World) -> None:
    assert told(world, None)[[SHARE, BY_TOKENS, BY_PHASE]].isna().all().all()
    table = read_table(world.run, "cells").to_pandas()
    reasons = table[table.metric == SHARE].reasons
    assert len(reasons) == 3
    assert all("solution_unknown" in reason for reason in reasons)


def test_grades_that_are_older_are_read_without_it(world: World, tmp_path: Path) -> None:
    key = world.cell_keys()[0]
    grades = read_trace(world.run.cell(key), "grades").drop_columns(["solution_chars"])
    pq.write_table(grades, tmp_path / "grades.parquet")
    assert read_trace(tmp_path, "grades")["solution_chars"].null_count == grades.num_rows
