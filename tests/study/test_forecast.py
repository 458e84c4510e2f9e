"""What a plan is going to take."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from configs.controls import with_controls
from configs.loader import dump_study, load_study
from configs.schema import Study
from study.forecast import forecast
from study.neighbours import check_cells
from study.plan import ENGINE_START_S, by_engine_start, plan_cells
from study.units import units_of
from tests.configs.studies import write_study
from tests.study.command import starwatt
from tests.study.test_plan import FIELDS, plan
from traces.attempts import Attempt, note_attempt
from traces.layout import RunDir

BESIDE = Study.model_validate({**FIELDS, "executor": "side_by_side"})


def test_time_is_that_of_the_cells_and_of_their_engine_starts_and_energy_is_bounded_by_the_limits() -> None:
    cells = plan()
    found = forecast([cells], measured=0, given_up=0, limits_w=[700.0, 300.0])
    seconds = sum(cell.estimated_s for cell in cells) + len(by_engine_start(cells)) * ENGINE_START_S
    assert found.seconds == pytest.approx(seconds)
    assert found.most_kwh == pytest.approx(1000.0 * seconds / 3.6e6)
    assert f"{len(cells)} cells to measure, {found.engine_starts} engine starts" in found.lines()[0]


@pytest.mark.parametrize("limits_w", [[], [None], [700.0, None]])
def test_energy_is_not_made_up_where_a_limit_is_not_known(limits_w: list[float | None]) -> None:
    found = forecast([plan()], measured=3, given_up=1, limits_w=limits_w)
    assert found.most_kwh is None
    assert "can't be bounded" in found.lines()[2]
    assert "3 measured already, 1 given up" in found.lines()[0]


def test_units_side_by_side_take_as_long_as_the_last_of_them(tmp_path: Path) -> None:
    units = [unit.cells for unit in units_of(BESIDE, plan())]
    assert len(units) == 4
    alone = [forecast([unit], measured=0, given_up=0, limits_w=[]).seconds for unit in units]
    on_three = forecast(units, measured=0, given_up=0, limits_w=[100.0], at_once=3)
    assert on_three.seconds == pytest.approx(max(alone[0] + alone[3], alone[1], alone[2]), rel=0.01)
    assert on_three.most_kwh == pytest.approx(100.0 * on_three.seconds / 3.6e6)
    assert "with 3 at a time" in on_three.lines()[1]
    assert forecast(units, measured=0, given_up=0, limits_w=[], at_once=9).seconds == pytest.approx(
        max(alone)
    )
    run = RunDir(tmp_path)
    again = check_cells(BESIDE, run)
    assert len(again) == 4
    checked = forecast(units, measured=0, given_up=0, limits_w=[], at_once=3, after=again)
    assert checked.seconds - on_three.seconds == pytest.approx(
        sum(cell.estimated_s + ENGINE_START_S for cell in again)
    )
    folder = RunDir(run.alone).cell(again[0].key)
    folder.mkdir(parents=True)
    (folder / "cell.json").touch()
    assert check_cells(BESIDE, run) == again[1:]


def test_ten_thousand_cells_are_planned_in_seconds() -> None:
    begun_s = time.process_time()
    cells = plan(blocks=334)
    found = forecast([cells], measured=0, given_up=0, limits_w=[])
    assert found.cells == 334 * 30
    assert time.process_time() - begun_s < 5


def test_a_dry_run_says_what_is_left_and_starts_and_writes_nothing(tmp_path: Path) -> None:
    file = write_study(tmp_path)
    run = RunDir(tmp_path / "run")
    done = starwatt("run", file, "--out", run.root, "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    before = json.loads(done.stdout)
    assert before["measured"] == before["given_up"] == 0
    assert before["seconds"] > 0
    assert not run.root.exists()
    study = load_study(file)
    first, second = plan_cells(study, 4)[:2]
    run.root.mkdir()
    run.study.write_text(dump_study(with_controls(study)))
    folder = run.cell(first.key)
    folder.mkdir(parents=True)
    (folder / "cell.json").touch()
    for _ in range(study.attempts):
        note_attempt(run, Attempt.now(second.key, "gone"))
    after = json.loads(starwatt("run", file, "--out", run.root, "--dry-run", "--json").stdout)
    assert (after["measured"], after["given_up"]) == (1, 1)
    assert after["cells"] == before["cells"] - 2
    words = starwatt("run", file, "--out", run.root, "--dry-run").stdout
    assert "1 measured already, 1 given up after failing" in words
