"""Where control groups can be made, all processes of a candidate together have one limit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from analysis.grading.cgroup import ControlGroup, why_no_control_group
from analysis.grading.sandbox import Job, Limits, Outcome, Sandbox
from analysis.grading.traffic import Frame
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
    monkeypatch.setattr("analysis.grading.cgroup._ROOT", tmp_path)
    with pytest.raises(GradingError, match="control group"):
        ControlGroup.make(1 << 30, 8)
