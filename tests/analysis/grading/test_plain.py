"""Without a sandbox: only when asked for, same verdicts, and nothing of this machine is ended or emptied."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from analysis.grading import Candidate, grade
from configs.datasets import load_dataset
from starwatt_errors import GradingError
from study.cli.app import app

DATASET = load_dataset("starwatt-24")
BOUNDED = DATASET.by_id["starwatt/15"]


@pytest.fixture
def no_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")


@pytest.mark.usefixtures("no_bubblewrap")
def test_verdicts_are_those_of_the_sandbox() -> None:
    completions = {
        "\n" + BOUNDED.canonical_solution: "passed",
        "\n    return value": "wrong_answer",
        "\n    while True: pass": "timeout",
        "\n    return (": "syntax",
        "\n    return len(bytearray(1 << 40))": "memory",
        "\n    import numpy\n    return numpy.clip(value, low, high)": "passed",
    }
    candidates = [Candidate(n, BOUNDED.task_id, text) for n, text in enumerate(completions)]
    graded = grade(DATASET, candidates, unsafe_no_sandbox=True)
    assert [verdict.reason for verdict in graded] == list(completions.values())


@pytest.mark.usefixtures("no_bubblewrap")
def test_the_candidates_children_are_ended_and_nobody_elses(tmp_path: Path) -> None:
    kept = Path("/tmp") / f"starwatt-test-{os.getpid()}"
    kept.write_text("not the candidate's")
    note = tmp_path / "child"
    leaves_a_child = (
        f"\n    import posix, time\n    child = posix.fork()\n    if child == 0:\n        time.sleep(1000)\n"
        f"    import io\n    io.open({str(note)!r}, 'x').write(str(child))\n    return -12345"
    )
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"]) as bystander:
        try:
            (graded,) = grade(
                DATASET, [Candidate(1, BOUNDED.task_id, leaves_a_child)], unsafe_no_sandbox=True
            )
            assert graded.reason == "wrong_answer", graded.detail
            assert bystander.poll() is None
            assert kept.read_text() == "not the candidate's"
            command = Path("/proc", note.read_text(), "cmdline")
            assert not command.exists() or command.read_bytes() == b"", "a child outlived its candidate"
        finally:
            bystander.kill()
            kept.unlink()


@pytest.mark.usefixtures("no_bubblewrap")
def test_verdicts_of_the_two_ways_are_kept_apart(tmp_path: Path) -> None:
    candidates = [Candidate(1, BOUNDED.task_id, "\n    return value")]
    grade(DATASET, candidates, cache_dir=tmp_path, unsafe_no_sandbox=True)
    with pytest.raises(GradingError, match="apt-get install bubblewrap"):
        grade(DATASET, candidates, cache_dir=tmp_path)


@pytest.mark.usefixtures("no_bubblewrap")
def test_the_command_line_takes_the_flag_and_nothing_else_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "samples.jsonl"
    solutions = [BOUNDED.prompt + BOUNDED.canonical_solution, "def bounded(v, l, h):\n    return v\n"]
    file.write_text(
        "".join(
            json.dumps({"task_id": BOUNDED.task_id, "solution": solution}) + "\n" for solution in solutions
        )
    )
    arguments = ["grade", "--samples", str(file), "--dataset", "starwatt-24", "--json"]
    refused = CliRunner().invoke(app, arguments)
    assert isinstance(refused.exception, GradingError)
    done = CliRunner().invoke(app, [*arguments, "--unsafe-no-sandbox"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["dataset_hash"] == DATASET.sha256
    assert result["pass_at_1"] == {"base": 0.5, "plus": 0.5}
    assert result["pass_at_k"]["2"] == {"base": 1.0, "plus": 1.0}
    assert [
        (verdict["task_id"], verdict["sample"], verdict["base"], verdict["plus"])
        for verdict in result["grades"]
    ] == [
        (BOUNDED.task_id, 0, True, True),
        (BOUNDED.task_id, 1, False, False),
    ]
    assert result["grades"][1]["reason"] == "wrong_answer"
    assert result["grades"][1]["cpu_s"] > 0


def test_sanitising_is_for_samples_since_a_runs_completions_always_are(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["grade", str(tmp_path), "--sanitize"])
    assert getattr(result.exception, "exit_code", result.exit_code) == 2
