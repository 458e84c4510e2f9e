"""A real Slurm with some virtual nodes on this machine, for as long as a test module needs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.busy import PATIENCE_S

SCRIPT = Path(__file__).parents[2] / "deploy" / "slurm" / "one-machine.sh"


@dataclass(frozen=True)
class Slurm:
    """Its configuration, and the commands that ask it."""

    configuration: str

    def ask(self, *command: str) -> str:
        """What one of Slurm's commands prints."""
        environment = {**os.environ, "SLURM_CONF": self.configuration}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE_S, check=True, env=environment
        )
        return done.stdout

    def tasks(self) -> dict[str, tuple[str, str]]:
        """State and node of every task that has not ended."""
        lines = self.ask("squeue", "--array", "--noheader", "--format=%i|%T|%N").split()
        return {job: (state, node) for job, state, node in (line.split("|") for line in lines)}

    def running(self) -> list[str]:
        """Tasks that run, sorted."""
        return sorted(job for job, (state, _) in self.tasks().items() if state == "RUNNING")


@contextmanager
def cluster(nodes: int = 3) -> Iterator[Slurm]:
    """Skips for a user who can't have one; in CI, which installs it, that is a failure."""
    why = _why_not()
    if why:
        assert os.environ.get("CI") != "true", why
        pytest.skip(why)
    folder = Path(tempfile.mkdtemp(prefix="starwatt-slurm-"))
    try:
        started = subprocess.run(
            [str(SCRIPT), "start", str(folder), str(nodes)],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert started.returncode == 0, started.stderr + (folder / "start.log").read_text()
        yield Slurm(started.stdout.strip())
    finally:
        subprocess.run([str(SCRIPT), "stop", str(folder)], timeout=PATIENCE_S, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _why_not() -> str | None:
    if os.geteuid() != 0:
        return "a Slurm of this test's own takes root"
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    missing = [
        name for name in ("slurmctld", "slurmd", "munged", "sbatch") if not shutil.which(name, path=path)
    ]
    return f"Slurm is not installed ({', '.join(missing)}): make slurm" if missing else None


def until(happened: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for something; an early end or too long a wait is a failure with what was printed."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
