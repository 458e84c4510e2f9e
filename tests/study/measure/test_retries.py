"""What fails is tried again, then given up; what was measured stays, and nothing is measured twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from starwatt_errors import EngineError, LoadError, MeterError, RunError, StarwattError, TraceError
from study.measure.retries import Measure, RetryBudget, measure_groups
from study.plan.cells import PlannedCell, by_engine_start
from tests.study.plan.test_cells import plan
from traces.attempts import read_attempts
from traces.layout import RunDir

Trouble = Callable[[PlannedCell, int], StarwattError | None]
"""What a cell's n-th try ends with."""


class World:
    """Engines that start, or not, and cells that fail as told."""

    def __init__(self, root: Path, trouble: Trouble, start: Trouble = lambda *_: None) -> None:
        self.run = RunDir(root)
        self.trouble, self.start = trouble, start
        self.measured: list[PlannedCell] = []
        self.tries: dict[object, int] = {}
        self.starts = 0
        self.running = 0
        self.said: list[str] = []

    def again(self, what: object) -> int:
        self.tries[what] = self.tries.get(what, 0) + 1
        return self.tries[what]

    @contextmanager
    def engine(self, cells: Sequence[PlannedCell]) -> Iterator[Measure]:
        self.starts += 1
        if error := self.start(cells[0], self.again(("start", cells[0].engine_start))):
            raise error
        self.running += 1
        try:
            yield self.measure
        finally:
            self.running -= 1

    def measure(self, cell: PlannedCell) -> None:
        assert self.running == 1
        if error := self.trouble(cell, self.again(cell.key)):
            raise error
        self.measured.append(cell)

    def go(self, groups: Sequence[Sequence[PlannedCell]]) -> None:
        measure_groups(groups, self.engine, RetryBudget(self.run, 3), self.said.append)


GROUPS = by_engine_start(plan(blocks=1))
CELLS = [cell for group in GROUPS for cell in group]


def test_without_trouble_each_cell_is_measured_once_on_as_many_engines_as_planned(tmp_path: Path) -> None:
    world = World(tmp_path, lambda *_: None)
    world.go(GROUPS)
    assert world.measured == CELLS
    assert world.starts == len(GROUPS)
    assert read_attempts(world.run) == {}


def test_a_cell_that_fails_once_is_done_again_on_a_new_engine_and_the_others_are_not(tmp_path: Path) -> None:
    bad = GROUPS[2][1]
    world = World(tmp_path, lambda cell, n: EngineError("gone") if cell is bad and n == 1 else None)
    world.go(GROUPS)
    assert world.measured == CELLS
    assert world.starts == len(GROUPS) + 1
    [attempt] = read_attempts(world.run)[bad.key]
    assert attempt.error == "gone"
    assert RetryBudget(world.run, 3).given_up() == {}


def test_a_cell_that_always_fails_is_given_up_and_all_others_are_measured(tmp_path: Path) -> None:
    bad = GROUPS[2][1]
    world = World(tmp_path, lambda cell, _: MeterError("no power") if cell is bad else None)
    world.go(GROUPS)
    assert world.measured == [cell for cell in CELLS if cell is not bad]
    assert RetryBudget(world.run, 3).given_up()[bad.key].error == "no power"
    assert any("failed 3 times, and is left out" in line for line in world.said)


def test_an_engine_that_never_starts_takes_its_own_cells_with_it_alone(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        lambda *_: None,
        lambda cell, _: EngineError("out of memory") if cell in GROUPS[1] else None,
    )
    world.go(GROUPS)
    assert world.measured == [cell for cell in CELLS if cell not in GROUPS[1]]
    assert set(RetryBudget(world.run, 3).given_up()) == {cell.key for cell in GROUPS[1]}


def test_where_nothing_at_all_can_be_measured_the_study_stops_with_the_reason(tmp_path: Path) -> None:
    world = World(tmp_path, lambda *_: None, lambda *_: EngineError("no driver"))
    with pytest.raises(RunError, match=r"nothing could be measured.*no driver"):
        world.go(GROUPS)
    assert world.starts == 3


def test_an_engine_that_dies_twice_of_the_same_cause_is_not_started_a_third_time(tmp_path: Path) -> None:
    both = by_engine_start(plan(blocks=2))
    lost = {cell.variant for cell in both[1]} | {cell.model for cell in both[1]}

    def start(cell: PlannedCell, _: int) -> StarwattError | None:
        return EngineError("died", cause="no nvcc") if {cell.variant, cell.model} == lost else None

    world = World(tmp_path, lambda *_: None, start)
    world.go(both)
    missing = [cell for group in both if {group[0].variant, group[0].model} == lost for cell in group]
    assert world.measured == [cell for group in both for cell in group if cell not in missing]
    assert world.starts == len(both) - 2 + 2
    given_up = RetryBudget(world.run, 9).given_up()
    assert given_up.keys() == {cell.key for cell in missing}
    assert any("not started a third time" in attempt.error for attempt in given_up.values())


def test_causes_that_differ_and_cells_that_fail_alike_cost_no_other_cell(tmp_path: Path) -> None:
    bad, odd = GROUPS[1][0], GROUPS[2][0]

    def trouble(cell: PlannedCell, n: int) -> StarwattError | None:
        if cell is bad:
            return LoadError("refused", cause="HTTP 400")
        return EngineError("died", cause=f"of {n}") if cell is odd else None

    world = World(tmp_path, trouble)
    world.go(GROUPS)
    assert world.measured == [cell for cell in CELLS if cell not in (bad, odd)]
    tries = {key: len(attempts) for key, attempts in read_attempts(world.run).items()}
    assert tries == {bad.key: 2, odd.key: 3}


def test_an_engine_whose_variant_was_measured_is_started_in_the_next_block_again(tmp_path: Path) -> None:
    groups = by_engine_start(plan(blocks=2))
    pair = (groups[0][0].model, groups[0][0].variant)
    later = next(group for group in groups[1:] if (group[0].model, group[0].variant) == pair)
    world = World(
        tmp_path,
        lambda *_: None,
        lambda cell, _: EngineError("died", cause="memory") if cell in groups[0] else None,
    )
    folder = world.run.cell(later[0].key)
    folder.mkdir(parents=True)
    (folder / "cell.json").touch()
    world.go([[CELLS[-1]], groups[0], later])
    assert all(cell in world.measured for cell in later)


def test_a_full_disk_ends_it_at_once(tmp_path: Path) -> None:
    world = World(tmp_path, lambda *_: TraceError("no space left"))
    with pytest.raises(TraceError):
        world.go(GROUPS)
    assert world.starts == 1
    assert world.running == 0


def test_tries_of_an_earlier_runner_count(tmp_path: Path) -> None:
    bad = GROUPS[0][0]

    def trouble(cell: PlannedCell, _: int) -> StarwattError | None:
        if cell is bad:
            return EngineError("gone")
        return None if len(world.measured) < 1 else TraceError("the runner dies here")

    world = World(tmp_path, trouble)
    with pytest.raises(TraceError):
        world.go([[GROUPS[0][1], bad, GROUPS[1][0]]])
    tries = len(read_attempts(world.run)[bad.key])
    assert tries == 3
    assert bad.key in RetryBudget(world.run, 3).given_up()


def test_a_torn_last_line_is_left_out_and_a_damaged_one_is_an_error(tmp_path: Path) -> None:
    world = World(tmp_path, lambda _, n: EngineError("gone") if n == 1 else None)
    world.go(GROUPS[:1])
    whole = world.run.attempts.read_bytes()
    count = len(read_attempts(world.run))
    world.run.attempts.write_bytes(whole + b'{"model": "m", "var')
    assert len(read_attempts(world.run)) == count
    world.run.attempts.write_bytes(b"garbage\n" + whole)
    with pytest.raises(TraceError, match="line 1"):
        read_attempts(world.run)
