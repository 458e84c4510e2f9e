"""The boards' setting is a factor: crossed with variants and loads, in random order on one engine start."""

from __future__ import annotations

from collections import Counter
from typing import Any

from study.plan.cells import PlannedCell, by_engine_start, plan_table
from tests.study.plan.test_cells import plan
from traces.layout import board_of, load_asked

BOARD = [{"power_limit_w": None}, {"power_limit_w": 400}, {"power_limit_w": 250}, {"sm_clock_mhz": 1200}]
SLUGS = ("as-found", "400w", "250w", "1200mhz")


def places(cells: list[PlannedCell]) -> list[tuple[Any, ...]]:
    return [(cell.key.model, cell.variant, cell.key.load, cell.key.block) for cell in cells]


def test_every_load_is_measured_at_every_setting_on_each_engine_start() -> None:
    groups = by_engine_start(plan(board=BOARD))
    assert len(groups) == 4 * 2 * 5
    for group in groups:
        loads = Counter((load_asked(cell.key.load), board_of(cell.key.load)) for cell in group)
        assert len(loads) == 3 * 4
        assert set(loads.values()) == {1}
        assert all(cell.board is not None and cell.board.slug == board_of(cell.key.load) for cell in group)
        assert {cell.load.slug for cell in group} == {load_asked(cell.key.load) for cell in group}


def test_settings_change_in_random_order_that_the_seed_alone_decides() -> None:
    orders = [tuple(cell.key.load for cell in group) for group in by_engine_start(plan(board=BOARD))]
    assert len(set(orders)) == len(orders)
    assert places(plan(board=BOARD)) == places(plan(board=BOARD))
    assert places(plan(board=BOARD)) != places(plan(board=BOARD, seed=21))
    first = [places(plan(board=BOARD, blocks=blocks)) for blocks in (2, 4)]
    assert first[0] == first[1][: len(first[0])]


def test_probes_are_measured_at_every_setting_too() -> None:
    cells = plan(board=BOARD, probes={"concurrency": [1]})
    probes = [cell for cell in cells if cell.key.load.startswith("probe-")]
    assert {cell.key.block for cell in probes} == {1}
    assert len(probes) == 2 * 4 * 2 * 5


def test_the_plan_has_the_setting_as_a_column_and_null_where_boards_are_left_alone() -> None:
    assert set(plan_table(plan(board=BOARD)).column("board").to_pylist()) == set(SLUGS)
    assert set(plan_table(plan()).column("board").to_pylist()) == {None}


def test_a_study_without_settings_has_the_paths_it_always_had() -> None:
    assert {cell.key.load for cell in plan()} == {"single-stream", "closed-8", "open-4-poisson"}
