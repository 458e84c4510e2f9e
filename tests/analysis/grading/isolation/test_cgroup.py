"""Where control groups can be made, all processes of a candidate together have one limit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from analysis.grading.isolation.cgroup import ControlGroup, why_no_control_group
from analysis.grading.isolation.sandbox import Job, Limits, Outcome, Sandbox
from analysis.grading.isolation.traffic import Frame
from starwatt_errors import GradingError

TOGETHER = """
import posix
def f(x):
    for _ in range(3):
        if posix.fork() == 0:
            held = bytearray(150 << 20)
            while True:
                pass
    held = bytearray(150 << 20)
    posix.wait()
    posix.wait()
"""


def run(box: Sandbox, code: str) -> tuple[list[Frame], Outcome]:
    frames: list[Frame] = []

    def take(frame: Frame) -> bool:
        frames.append(frame)
        return True

    return frames, box.run(Job(code, "f", b"[[1]]", (5.0,)), take)


@pytest.mark.usefixtures("sandbox")
def test_processes_that_each_stay_below_the_limit_are_ended_together() -> None:
    if reason := why_no_control_group():
        pytest.skip(reason)
    with Sandbox(limits=Limits(all_memory_bytes=256 << 20)) as box:
        _, outcome = run(box, TOGETHER)
        assert outcome.why in ("memory", "ended")
        assert box._killed_for_memory() > 0
        frames, _ = run(box, "def f(x):\n    return x\n")
        assert [frame.body for frame in frames] == [b"1"]
    left = [path for path in Path("/sys/fs/cgroup").glob(f"**/starwatt-{os.getpid()}-*") if path.is_dir()]
    assert left == []


def test_why_a_group_may_not_be_made_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.grading.isolation.cgroup._ROOT", tmp_path)
    with pytest.raises(GradingError, match="control group"):
        ControlGroup.make(1 << 30, 8)


@pytest.fixture
def version_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders as version 2 of the kernel's interface shows them; this test's own group is /app.slice/shell.scope."""
    group = tmp_path / "own"
    group.write_text("0::/app.slice/shell.scope\n")
    (tmp_path / "app.slice" / "shell.scope").mkdir(parents=True)
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    (tmp_path / "app.slice" / "cgroup.subtree_control").write_text("memory pids\n")
    monkeypatch.setattr("analysis.grading.isolation.cgroup._ROOT", tmp_path)
    monkeypatch.setattr("analysis.grading.isolation.cgroup._OWN", group)
    return tmp_path / "app.slice"


def test_in_version_2_a_group_is_made_beside_our_own(version_2: Path) -> None:
    group = ControlGroup.make(1 << 30, 12)
    (folder,) = group.folders
    assert folder.parent == version_2
    assert (folder / "memory.max").read_text() == str(1 << 30)
    assert (folder / "pids.max").read_text() == "12"
    group.add(os.getpid())
    assert (folder / "cgroup.procs").is_file()
    group.events.write_text("low 0\noom 3\noom_kill 2\n")
    assert group.killed() == 2


@pytest.mark.parametrize(
    ("own", "control", "words"),
    [
        ("0::/\n", "memory pids\n", "uppermost"),
        ("0::/app.slice/shell.scope\n", "cpu\n", "memory and pids"),
    ],
)
def test_in_version_2_what_is_not_handed_on_is_named(
    version_2: Path, own: str, control: str, words: str
) -> None:
    (version_2.parent / "own").write_text(own)
    (version_2 / "cgroup.subtree_control").write_text(control)
    assert words in str(why_no_control_group())
