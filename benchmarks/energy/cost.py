"""What the sidecar costs: the real process, on simulated boards and on the modelled meter, in shares of one CPU."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from configs.meters import Meters
from server.power.sidecar import Sidecar
from tests.golden.nvml.world import BoardModel, GoldenBoards, compile_library

BOUND = 0.02
"""Of one CPU, at 20 Hz with eight boards."""


@dataclass(frozen=True)
class Cost:
    """One sidecar."""

    what: str
    hz: float
    boards: int
    cpu_share: float
    late_p50_ms: float
    late_p99_ms: float
    read_p50_ms: float
    read_p99_ms: float
    skipped: int


def costs(seconds: float) -> list[Cost]:
    """Sidecars of several rates and boards, one after the other."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        library = compile_library(folder)
        found = []
        for boards, hz in ((1, 20.0), (8, 20.0), (8, 100.0)):
            world = GoldenBoards(
                folder / f"world-{boards}-{hz:g}", [BoardModel(f"GPU-{n}") for n in range(boards)]
            )
            os.environ.update(world.environment(library))
            found.append(_cost("nvml", folder, Meters(sources=("nvml",), sample_hz=hz), boards, seconds))
        with subprocess.Popen([sys.executable, "-c", "import time\nwhile True: time.sleep(0.001)"]) as busy:
            settings = Meters(sources=("modelled",))
            found.append(_cost("modelled", folder, settings, 0, seconds, busy.pid))
            busy.kill()
    return found


def _cost(
    what: str, folder: Path, settings: Meters, boards: int, seconds: float, pid: int | None = None
) -> Cost:
    with Sidecar.start(
        folder / f"{what}-{boards}-{settings.sample_hz:g}", settings, engine_pid=pid
    ) as sidecar:
        time.sleep(seconds)
    told = sidecar.summary
    return Cost(
        what, settings.sample_hz, boards, told["cpu_share"], told["late_p50_ms"], told["late_p99_ms"],
        told["read_p50_ms"], told["read_p99_ms"], told["skipped"],
    )  # fmt: skip
