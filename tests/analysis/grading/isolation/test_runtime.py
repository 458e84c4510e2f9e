"""The copied Python, made by several graders at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from analysis.grading.isolation.runtime import prepare_runtime, python_in
from tests.support.busy import PATIENCE_S

PREPARE = """
import sys
from pathlib import Path
from analysis.grading.isolation.runtime import prepare_runtime
runtime = prepare_runtime(Path(sys.argv[1]))
print(runtime.stat().st_ino)
"""


def test_graders_that_start_together_make_one_copy_and_never_replace_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PREPARE, str(tmp_path)]
    graders = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    copies = {grader.communicate(timeout=PATIENCE_S)[0] for grader in graders}
    assert [grader.returncode for grader in graders] == [0, 0, 0]
    assert len(copies) == 1, "a copy that one grader was told of was replaced by another's"
    done = subprocess.run(
        [str(python_in(prepare_runtime(tmp_path))), "-I", "-c", "print('ran')"],
        capture_output=True, text=True, check=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.stdout == "ran\n"


def test_a_copy_that_lost_a_file_is_made_anew(tmp_path: Path) -> None:
    runtime = prepare_runtime(tmp_path)
    lost = next(runtime.glob("lib*/python3.*/textwrap.py"))
    lost.unlink()
    assert prepare_runtime(tmp_path) == runtime
    assert lost.is_file()
