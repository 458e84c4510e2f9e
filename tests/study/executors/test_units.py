"""What a lost process means for the cells that it leaves, and where they are measured then."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from configs.datasets import load_dataset
from configs.schema import Study
from server.process import spawn as processes
from starwatt_errors import RunError
from study.executors import side_by_side, units
from study.executors.choice import executor_for
from study.executors.interference import AloneCheck
from study.executors.loop import measure_all
from study.executors.slots import Slot
from study.executors.units import Ledger, Unit, units_of
from study.measure.retries import RetryBudget
from study.measure.study_run import StudyRun
from study.plan.cells import PlannedCell, plan_cells
from tests.study.plan.test_cells import FIELDS
from traces.atomic import write_json
from traces.attempts import Attempt, note_attempt, read_attempts
from traces.cell import Node
from traces.clock import boot_id
from traces.layout import CellKey, RunDir

SLOTS = [Slot(name, (), tuple(os.sched_getaffinity(0))) for name in ("gpu0", "gpu1")]
FAKE = """
import json, os, pathlib, sys, time
order = json.loads(pathlib.Path(sys.argv[1]).read_text())
slot = os.environ["STARWATT_SLOT"]
if slot in {useless!r}:
    sys.exit(1)
time.sleep(1)
for model, variant, load, block in order["keys"]:
    cell = pathlib.Path(order["root"], "cells", model, variant, load, f"b{{block}}")
    cell.mkdir(parents=True, exist_ok=True)
    (cell / "cell.json").write_text(slot)
"""


def study(**changes: object) -> Study:
    return Study.model_validate(
        {**FIELDS, "models": ["m"], "blocks": 2, "attempts": 1, "executor": "side_by_side", **changes}
    )


def measured(run: RunDir, cell: PlannedCell) -> None:
    run.cell(cell.key).mkdir(parents=True)
    (run.cell(cell.key) / "cell.json").write_text("{}")


def charged(run: RunDir) -> dict[CellKey, int]:
    return {key: len(tries) for key, tries in read_attempts(run).items()}


@pytest.fixture
def unit() -> Unit:
    """Block 1."""
    return units_of(study(), plan_cells(study(), 10), by_block=True)[0]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    run = RunDir(tmp_path)
    return Ledger(run, RetryBudget(run, 1), lambda _: None)


def test_a_process_that_had_measured_nothing_has_failed_all_its_cells(ledger: Ledger, unit: Unit) -> None:
    ledger.begin(unit)
    assert ledger.lost(unit, "it fell") == len(unit.cells)
    assert charged(ledger.run) == {cell.key: 1 for cell in unit.cells}


def test_a_process_that_had_measured_some_has_failed_the_next(ledger: Ledger, unit: Unit) -> None:
    ledger.begin(unit)
    measured(ledger.run, unit.cells[0])
    assert ledger.lost(unit, "it fell") == len(unit.cells) - 1
    assert charged(ledger.run) == {unit.cells[1].key: 1}


def test_a_process_that_has_given_up_cells_itself_has_failed_no_others(ledger: Ledger, unit: Unit) -> None:
    ledger.begin(unit)
    for cell in unit.cells[:3]:  # all loads of its first variant, whose engine never started
        note_attempt(ledger.run, Attempt.now(cell.key, "no engine"))
    assert ledger.lost(unit, "nothing could be measured") == len(unit.cells) - 3
    assert charged(ledger.run) == {cell.key: 1 for cell in unit.cells[:3]}
    assert ledger.begin(unit)
    assert unit.begun_with == {cell.key for cell in unit.cells[3:]}
    ledger.lost(unit, "it fell")
    assert len(charged(ledger.run)) == len(unit.cells), "and then it counts again: it ends"


def test_a_full_disk_is_no_failure_of_a_cell(
    ledger: Ledger, unit: Unit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "why_no_room", lambda _: "No space left on device")
    ledger.begin(unit)
    with pytest.raises(RunError, match="make room"):
        ledger.lost(unit, "its disk was full")
    assert charged(ledger.run) == {}


def measure(run: RunDir, cells: list[PlannedCell], monkeypatch: pytest.MonkeyPatch, *useless: str) -> None:
    """On slots that write a cell's file and do nothing else; those in ``useless`` end at once."""

    def spawn(command: list[str], **settings: object) -> object:
        script = FAKE.format(useless=useless)
        return processes.spawn([sys.executable, "-c", script, command[-1]], **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(side_by_side, "spawn", spawn)
    monkeypatch.setattr(side_by_side, "slots_of", lambda *_: SLOTS)
    unchecked = study(executor={"kind": "side_by_side", "neighbours": None})
    study_run = StudyRun(unchecked, run, load_dataset("starwatt-24"), cells)
    measure_all(executor_for(unchecked, run), study_run, {}, ())


def test_a_slot_that_can_measure_nothing_does_not_end_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDir(tmp_path)
    cells = plan_cells(study(), 10)
    measure(run, cells, monkeypatch, "gpu0")
    there = {cell.key for cell in cells if (run.cell(cell.key) / "cell.json").is_file()}
    assert {key.block for key in there} == {2}
    assert charged(run) == {cell.key: 1 for cell in cells if cell.key not in there}


def test_where_no_slot_can_measure_anything_the_study_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDir(tmp_path)
    with pytest.raises(RunError, match="ended; it last said"):
        measure(run, plan_cells(study(), 10), monkeypatch, "gpu0", "gpu1")


def test_a_unit_that_was_begun_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunDir(tmp_path)
    first, *left = cells = plan_cells(study(), 10)
    second = Node(name=f"{platform.node()}:gpu1", boot_id=boot_id(), cpus=1)
    monkeypatch.setattr(units, "read_cell", lambda _: SimpleNamespace(node=second))
    measured(run, first)
    measure(run, cells, monkeypatch)
    where = {cell.key: (run.cell(cell.key) / "cell.json").read_text() for cell in left}
    assert {slot for key, slot in where.items() if key.block == 1} == {"gpu1"}
    assert {slot for key, slot in where.items() if key.block == 2} == {"gpu0"}


def test_a_damaged_record_says_no_home_and_ends_nothing(ledger: Ledger, unit: Unit) -> None:
    measured(ledger.run, unit.cells[0])
    [waiting] = ledger.open([unit])
    assert waiting.node is None


def test_alone_is_begun_as_cool_as_beside_others(tmp_path: Path) -> None:
    around, alone = RunDir(tmp_path / "run"), RunDir(tmp_path / "run" / "alone")
    write_json(around.manifest, {})
    write_json(around.cooldown / "host:gpu0.json", {"coolest": "beside"})
    AloneCheck(study(), alone, []).prepare(around)
    kept = alone.cooldown / "host:gpu0.json"
    assert kept.read_text() == (around.cooldown / kept.name).read_text()
    write_json(kept, {"coolest": "alone"})
    AloneCheck(study(), alone, []).prepare(around)
    assert "alone" in kept.read_text(), "what it has seen itself since is kept"


def test_boards_are_not_asked_for_where_the_check_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDir(tmp_path)

    def slots(*_: object) -> list[Slot]:
        raise AssertionError("a board that is gone must not hinder a report")

    for cell in plan_cells(study(variants=["bf16"], loads=FIELDS["loads"][-1:]), 1):
        measured(RunDir(run.alone), cell)
    monkeypatch.setattr(side_by_side, "slots_of", slots)
    assert not executor_for(study(), run).is_due()
