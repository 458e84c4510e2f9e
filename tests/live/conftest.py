"""Starts the command line as a person would, and watches that nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # two threads that wait for each other's CPU cost ten times as much
STARWATT = Path(sys.executable).with_name("starwatt")
PATIENCE_S = 540.0
"""For what hangs: an engine imports for half a minute, and longer where all other tests run beside it."""


class Command:
    """A running ``starwatt`` command in a session of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.output = folder / f"{arguments[0]}-{time.monotonic_ns()}.log"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [str(STARWATT), *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=folder,
                start_new_session=True,
                env={**os.environ, "STARWATT_TEST_MARK": str(folder)},
            )
        self.mark = str(folder)

    @property
    def said(self) -> str:
        """Everything it printed."""
        return self.output.read_text(errors="replace")

    def until(self, happened: Callable[[], bool]) -> None:
        """Wait until something has happened; its early end or too long a wait is a failure with its output."""
        deadline = time.monotonic() + PATIENCE_S
        while not happened():
            assert self.process.poll() is None, f"it ended early ({self.process.returncode}):\n{self.said}"
            assert time.monotonic() < deadline, f"nothing happened for {PATIENCE_S:g} s:\n{self.said}"
            time.sleep(0.05)

    def interrupt(self) -> int:
        """Ctrl-C; returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.end()

    def end(self) -> int:
        """Wait for its end; returns the exit code."""
        return self.process.wait(timeout=PATIENCE_S)

    def left_behind(self) -> list[str]:
        """Processes that this command started, directly or not, and that still run."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("STARWATT_TEST_MARK") == self.mark and process.status() != "zombie":
                    found.append(f"{process.pid} {' '.join(process.cmdline())}")
        return found


@pytest.fixture
def starwatt(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """Starts commands in a folder of the test's own; what still runs at the end is killed."""
    started: list[Command] = []

    def start(*arguments: str) -> Command:
        command = Command(tmp_path, *arguments)
        started.append(command)
        return command

    yield start
    for command in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(command.process.pid, signal.SIGKILL)
        command.process.wait()
        for line in command.left_behind():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)
