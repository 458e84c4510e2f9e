"""Boards side by side in the golden world: that neighbours disturb each other is found, and that they don't too."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from analysis.contrasts.interference import CellWindow, neighbour_rows, overlap, windows_of
from analysis.report import page_of
from analysis.tables import analyze, read_table
from analysis.verify.run import verify
from tests.golden.engine import Load
from tests.golden.world import MODEL_NAME, World
from traces.layout import CellKey, RunDir

LOADS = (Load("single-stream"), Load("closed-8", concurrency=8))


def world(root: Path, more: float, slots: int = 2) -> RunDir:
    """Two variants on ``slots`` boards that draw ``more`` when others are busy, and the check of bf16 at closed-8."""
    names = [f"h:gpu{number}" for number in range(slots)]

    def place(key: CellKey) -> str:
        return names[key.block % slots]

    beside = World(
        root / "run", variants=("bf16", "int8-bnb"), loads=LOADS, blocks=5,
        nodes=dict.fromkeys(names, more), place=place, jitter=0.002,
    ).build()  # fmt: skip
    World(
        root / "run" / "alone", variants=("bf16",), loads=LOADS[1:], blocks=5,
        nodes=dict.fromkeys(names, 1.0), place=place, jitter=0.002,
    ).build()  # fmt: skip
    analyze(beside.run)
    return beside.run


def row(run: RunDir, metric: str = "j_per_request") -> dict[str, Any]:
    [found] = [line for line in read_table(run, "neighbours").to_pylist() if line["metric"] == metric]
    return dict(found)


def test_a_disturbance_of_eight_per_cent_is_found_and_said(tmp_path: Path) -> None:
    run = world(tmp_path, 1.08)
    line = row(run)
    assert line["value"] == pytest.approx(1.08, rel=0.01)
    assert line["lo"] > 1
    assert line["reasons"] == ["neighbours_disturb"]
    assert line["overlap"] > 0.5
    assert line["beside"] / line["alone"] == pytest.approx(1.08, rel=0.01)
    assert row(run, "output_token_rate")["value"] == pytest.approx(1, rel=1e-9), (
        "it draws more, and is no slower"
    )
    page = page_of(run)
    assert "they disturb each other" in page
    assert "beside others" in page
    assert not [finding for finding in verify(run).findings if finding.kind == "table_differs"]


def test_where_nothing_differs_no_disturbance_is_claimed(tmp_path: Path) -> None:
    run = world(tmp_path, 1.0)
    line = row(run)
    assert line["value"] == pytest.approx(1, rel=0.01)
    assert "neighbours_disturb" not in line["reasons"]
    assert "no disturbance was seen" in page_of(run)


def test_with_nobody_beside_it_a_cell_says_nothing_of_neighbours(tmp_path: Path) -> None:
    run = world(tmp_path, 1.08, slots=1)
    line = row(run)
    assert (line["value"], line["valid"], line["blocks"]) == (None, False, 0)
    assert "neighbours_idle" in line["reasons"]
    assert "is not known" in page_of(run)


def test_a_changed_check_is_found_by_verify_and_a_removed_one_leaves_no_table(tmp_path: Path) -> None:
    run = world(tmp_path, 1.0)
    alone = RunDir(run.alone)
    key = CellKey(MODEL_NAME, "bf16", "closed-8", 1)
    other = CellKey(MODEL_NAME, "bf16", "closed-8", 2)
    (alone.cell(key) / "power.parquet").write_bytes((alone.cell(other) / "power.parquet").read_bytes())
    assert {finding.where for finding in verify(run).findings if finding.kind == "table_differs"} == {
        str(run.table("neighbours"))
    }
    for found in list(alone.finished_cells()):
        (alone.cell(found) / "cell.json").unlink()
    analyze(run)
    assert not run.table("neighbours").exists()


def test_overlap_is_the_union_of_what_other_boards_did_on_the_same_boot() -> None:
    def key(block: int) -> CellKey:
        return CellKey("m", "v", "l", block)

    windows = {
        key(1): CellWindow("a", "boot", 100, 200),
        key(2): CellWindow("b", "boot", 50, 120),
        key(3): CellWindow("c", "boot", 110, 140),
        key(4): CellWindow("b", "boot", 190, 900),
        key(5): CellWindow("a", "boot", 100, 200),  # its own board
        key(6): CellWindow("d", "another", 100, 200),
    }
    assert overlap(key(1), windows) == pytest.approx(0.5)
    assert overlap(key(6), windows) == 0
    assert overlap(key(7), windows) is None


def test_overlap_equals_a_count_of_instants() -> None:
    rng = random.Random(4)  # noqa: S311 -- a simulation
    for _ in range(200):
        windows = {}
        for block in range(6):
            start = rng.randrange(40)
            windows[CellKey("m", "v", "l", block)] = CellWindow(
                rng.choice("ab"), None, start, start + rng.randrange(1, 30)
            )
        key = CellKey("m", "v", "l", 0)
        mine = windows[key]
        busy = sum(
            any(
                window.node != mine.node and window.start_ns <= t < window.end_ns
                for window in windows.values()
            )
            for t in range(mine.start_ns, mine.end_ns)
        )
        assert overlap(key, windows) == pytest.approx(busy / (mine.end_ns - mine.start_ns))


def test_rows_are_of_boundaries_that_both_have(tmp_path: Path) -> None:
    run = world(tmp_path, 1.0)
    rows = read_table(run, "cells").to_pylist()
    elsewhere = [{**line, "boundary": "node"} if line["boundary"] else line for line in rows]
    neighbours = neighbour_rows(rows, elsewhere, windows_of(run))
    assert {line["metric"] for line in neighbours} == {"output_token_rate", "ttft_p50_ms", "e2e_p50_ms"}
