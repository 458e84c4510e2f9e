"""A command in a fork does what it does in an interpreter of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.busy import PATIENCE_S
from tests.support.command import COMMAND, Forks, starwatt


def alone(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """In an interpreter of its own."""
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False, cwd=cwd
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--version"], 0),
        (["doctor", "--nope", "--json"], 2),
        (["report", "there"], 2),
        (["runs", "--json"], 2),
    ],
)
def test_codes_and_both_streams_are_those_of_a_process_of_its_own(
    tmp_path: Path, arguments: list[str], code: int
) -> None:
    forked, own = starwatt(*arguments, cwd=tmp_path), alone(*arguments, cwd=tmp_path)
    assert (forked.returncode, forked.stdout, forked.stderr) == (own.returncode, own.stdout, own.stderr)
    assert own.returncode == code


def test_a_command_finds_its_callers_environment_and_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starwatt("--version")
    monkeypatch.setenv("STARWATT_STORE", str(tmp_path / "store"))
    told = json.loads(starwatt("build", "--list", "--json", cwd=tmp_path).stdout)
    assert str(tmp_path / "store") in json.dumps(told) or told == []
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")  # what an interpreter reads as it starts
    assert starwatt("--version").stdout == alone("--version", cwd=tmp_path).stdout


def test_commands_are_forked_whatever_folder_the_first_test_stands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    forks = Forks()
    assert forks.run(["--version"], tmp_path).returncode == 0
    forks.close()


def test_each_command_is_a_process_and_none_is_left_behind(tmp_path: Path) -> None:
    forks = Forks()
    marker = tmp_path / "pid"
    code = f"import os, pathlib; pathlib.Path({str(marker)!r}).write_text(str(os.getppid()))"
    done = [
        forks.run(["meter", "--estimate", "--", sys.executable, "-c", code], tmp_path).returncode
        for _ in range(2)
    ]
    assert done == [0, 0]
    assert int(marker.read_text()) not in {os.getpid(), forks.pid}
    forks.close()
    assert not psutil.pid_exists(forks.pid)
