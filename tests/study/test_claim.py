"""One study and one runner at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from configs.schema import Study
from starwatt_errors import RunError, UsageError
from study.claim import claimed, differences
from tests.study.test_plan import FIELDS
from traces.layout import RunDir


def study(**changes: Any) -> Study:
    return Study.model_validate({**FIELDS, **changes})


HOLD = """
import sys, time
from pathlib import Path
from study.claim import claimed
from tests.study.test_claim import study
from traces.layout import RunDir

with claimed(RunDir(Path(sys.argv[1])), study(), Path("s.yaml")):
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
                claimed(RunDir(run), study(), Path("s.yaml")),
            ):
                pass
        finally:
            other.kill()
    with claimed(RunDir(run), study(), Path("s.yaml")):  # its lock went with it
        pass


def test_a_changed_study_is_refused_with_each_difference(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    with claimed(run, study(), Path("s.yaml")):
        pass
    changed = study(blocks=5, phases={"idle_s": 1.5, "warmup_s": 9})
    with pytest.raises(UsageError) as refused, claimed(run, changed, Path("s.yaml")):
        pass
    assert "phases.warmup_s: 2.0 there, 9.0 here" in str(refused.value)
    assert "blocks: 4 there, 5 here" in str(refused.value)
    assert "another name" in str(refused.value)
    with claimed(run, study(), Path("s.yaml")):
        assert run.study.is_file()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError, match="holds no study"), claimed(RunDir(tmp_path), study(), Path("s")):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_fields_of_one_side_alone_are_differences_too() -> None:
    assert differences({"a": 1, "b": {"c": None}}, {"a": 1, "b": {"c": 2}, "d": "x" * 500}) == [
        "b.c: nothing there, 2 here",
        f"d: nothing there, {'x' * 157}... here",
    ]
