"""One study and one runner at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from configs.differences import differences
from configs.loader import load_study
from configs.schema import Study
from server.process.spawn import group_alive
from starwatt_errors import RunError, UsageError
from study.records.lock import check_folder, locked
from tests.study.plan.test_cells import FIELDS
from traces.layout import RunDir


def study(**changes: Any) -> Study:
    return Study.model_validate({**FIELDS, **changes})


HOLD = """
import sys, time
from pathlib import Path
from study.records.lock import locked
from tests.study.records.test_lock import study
from traces.layout import RunDir

with locked(RunDir(Path(sys.argv[1])), study(), Path("s.yaml")):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_runner_says_who_measures_and_leaves(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(run)], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            with (
                pytest.raises(RunError, match=f"is being measured by process {other.pid} on "),
                locked(RunDir(run), study(), Path("s.yaml")),
            ):
                pass
        finally:
            other.kill()
    with locked(RunDir(run), study(), Path("s.yaml")):  # its lock went with it
        pass


def test_a_changed_study_is_refused_with_each_difference(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    with locked(run, study(), Path("s.yaml")):
        pass
    changed = study(blocks=5, phases={"idle_s": 1.5, "warmup_s": 9})
    with pytest.raises(UsageError) as refused, locked(run, changed, Path("s.yaml")):
        pass
    assert "phases.warmup_s: 2.0 there, 9.0 here" in str(refused.value)
    assert "blocks: 4 there, 5 here" in str(refused.value)
    assert "another name" in str(refused.value)
    with locked(run, study(), Path("s.yaml")):
        assert run.study.is_file()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError, match="holds no study"), locked(RunDir(tmp_path), study(), Path("s")):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_fields_of_one_side_alone_are_differences_too() -> None:
    assert differences({"a": 1, "b": {"c": None}}, {"a": 1, "b": {"c": 2}, "d": "x" * 500}) == [
        "b.c: nothing there, 2 here",
        f"d: nothing there, {'x' * 157}... here",
    ]


def test_boards_are_compared_one_by_one_and_other_lists_whole() -> None:
    there = {"gpus": [{"name": "H", "ecc": True}, {"name": "H", "ecc": True}], "variants": ["bf16"]}
    here = {"gpus": [{"name": "H", "ecc": True}, {"name": "H", "ecc": False}], "variants": ["bf16", "fp32"]}
    assert differences(there, here) == [
        "gpus.1.ecc: True there, False here",
        "variants: ['bf16'] there, ['bf16', 'fp32'] here",
    ]
    assert differences({"gpus": [{"name": "H"}]}, {"gpus": []}) == [
        "gpus.0: {'name': 'H'} there, nothing here"
    ]


def test_long_values_that_part_late_are_shown_from_where_they_part() -> None:
    there, here = differences({"a": "x" * 500 + "one"}, {"a": "x" * 500 + "two"})[0].split(" there, ")
    assert there == f"a: ...{'x' * 20}one"
    assert here == f"...{'x' * 20}two here"


LEAVE = """
import subprocess, sys, time
from pathlib import Path
from server.process.spawn import spawn
from study.records.lock import locked
from tests.study.records.test_lock import study
from traces.layout import RunDir

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
with locked(RunDir(Path(sys.argv[1])), study(), Path("s.yaml")):
    child = spawn([sys.executable, "-c", DEAF], stdout=subprocess.PIPE)
    child.stdout.readline()
    (Path(sys.argv[1]) / ".manifest.json.1.tmp").touch()
    print(child.pid, flush=True)
    time.sleep(60)
"""


def test_the_next_runner_waits_for_what_a_killed_one_left_and_clears_up_after_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", LEAVE, str(run)], stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        child = int(first.stdout.readline())
        first.kill()
        first.wait()
    with locked(RunDir(run), study(), Path("s.yaml")):
        assert not group_alive(child)
        assert sorted(path.name for path in run.iterdir()) == [".lock", "study.yaml"]


def test_a_lock_file_that_nobody_holds_is_no_reason_to_wait(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    run.root.mkdir()
    run.lock.write_text("process 1 on nowhere\n")
    with locked(run, study(), Path("s.yaml")):
        assert f"process {os.getpid()} on " in run.lock.read_text()


def test_a_study_with_more_blocks_grows_a_run_where_that_is_asked_for_and_nothing_else(
    tmp_path: Path,
) -> None:
    run, file = RunDir(tmp_path / "run"), Path("s.yaml")
    with locked(run, study(blocks=2), file):
        pass
    with pytest.raises(UsageError, match="More blocks are added to those that are measured with --blocks N"):
        check_folder(run, study(blocks=3), file)
    check_folder(run, study(blocks=3), file, grow=True)
    with locked(run, study(blocks=3), file, grow=True):
        assert load_study(run.study).blocks == 3
    with pytest.raises(UsageError, match=r"--blocks 1: .* has 3; takes as many, or more"):
        check_folder(run, study(blocks=1), file, grow=True)
    with pytest.raises(UsageError, match="holds another study"):
        check_folder(run, study(blocks=4, seed=21), file, grow=True)
    check_folder(run, study(blocks=3), file)


def test_blocks_of_one_engine_start_cannot_be_added_to(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    with locked(run, study(engine_restarts="once"), Path("s.yaml")):
        pass
    with pytest.raises(UsageError, match=r"all blocks of .* are of one engine start"):
        check_folder(run, study(engine_restarts="once", blocks=9), Path("s.yaml"), grow=True)
