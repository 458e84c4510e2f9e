"""Real vLLM is killed under the load, then the runner itself: nothing is lost, nothing counted twice, nothing left."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow.compute as pc
import pytest

from tests.live.conftest import Command
from tests.live.test_study import STUDY, in_whole_passes
from tests.support.busy import PATIENCE_S
from traces.attempts import read_attempts
from traces.layout import RunDir
from traces.streams import read_trace

pytestmark = [pytest.mark.live, pytest.mark.long, pytest.mark.timeout(900)]


def _kill_the_engine_core(command: Command) -> None:
    """The process that computes: the server in front of it finds out by itself."""
    for process in psutil.Process(command.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.name().startswith("VLLM::") or "VLLM::" in " ".join(process.cmdline()):
                process.kill()


def _is_measuring(run: RunDir) -> bool:
    """Whether a measured request of an unfinished cell has been written; its window goes on for seconds then."""
    return any(
        "measured" in read_trace(trace.parent, "requests")["role"].to_pylist()
        for trace in run.cells.glob("*/*/*/*/requests.arrows")
    )


def test_an_engine_and_then_the_runner_are_killed_and_the_study_is_whole_all_the_same(
    starwatt: Callable[..., Command], tmp_path: Path
) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    run = RunDir(tmp_path / "run")

    first = starwatt("run", "study.yaml", "--out", "run")
    first.until(lambda: _is_measuring(run))
    _kill_the_engine_core(first)
    first.until(lambda: bool(read_attempts(run)))
    [(unlucky, [attempt])] = read_attempts(run).items()
    assert attempt.error
    first.until(lambda: any(run.finished_cells()))
    [kept] = run.finished_cells()
    assert kept == unlucky
    written_ns = (run.cell(kept) / "cell.json").stat().st_mtime_ns
    first.process.send_signal(signal.SIGKILL)
    first.end()
    deadline = time.monotonic() + PATIENCE_S
    while first.left_behind() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert first.left_behind() == []

    second = starwatt("run", "study.yaml", "--out", "run")
    assert second.end() in (0, 3), second.said
    assert (run.cell(kept) / "cell.json").stat().st_mtime_ns == written_ns
    cells = list(run.finished_cells())
    assert len(cells) == 2
    for key in cells:
        requests = read_trace(run.cell(key), "requests")
        measured = requests.filter(pc.equal(requests["role"], "measured"))
        assert in_whole_passes(measured)
        assert set(measured["status"].to_pylist()) == {"ok"}
    assert sum(map(len, read_attempts(run).values())) == 1
    assert second.left_behind() == []
