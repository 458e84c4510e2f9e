"""A sidecar's helpers: a busy process, and the golden world's NVML behind the real loader path."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pynvml
import pytest

from tests.golden.nvml.world import AVERAGE, LIBRARY, BoardModel, GoldenBoards, compile_library
from tests.support.once import once

_WORKS = """
import sys, time
print("busy", flush=True)
while True:
    sum(range(50_000))
    time.sleep(float(sys.argv[1]))
"""
RESTS_S = 0.01
"""How long a busy process rests after a millisecond's work and less."""


@pytest.fixture
def busy_pid() -> Iterator[int]:
    """A process that goes on computing; it leaves most of a CPU to the tests beside it."""
    with working(RESTS_S) as pid:
        yield pid


@contextmanager
def working(rests_s: float) -> Iterator[int]:
    """A process that computes and rests in turn, by its id."""
    with subprocess.Popen([sys.executable, "-c", _WORKS, str(rests_s)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


A, B = "GPU-00000000-aaaa", "GPU-11111111-bbbb"
BOARDS = (
    BoardModel(A, "Board A", throttle=0x24),
    BoardModel(B, "Board B", offers=AVERAGE, gain=0.5),  # no counter, no instantaneous power, no temperature
)


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our ``libnvidia-ml.so.1``."""
    return once(tmp_path_factory, "nvml", compile_library) / LIBRARY


@pytest.fixture
def nvml(nvml_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GoldenBoards:
    """Processes started from here find two boards that draw 300 W."""
    return golden_boards(nvml_library, tmp_path, monkeypatch, BOARDS)


def golden_boards(
    library: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, models: Sequence[BoardModel]
) -> GoldenBoards:
    """These boards, for every process that is started from here; they have drawn 300 W for as long as they know."""
    path = folder / "boards"
    path.mkdir(exist_ok=True)
    boards = GoldenBoards(path / "world", models, idle_w=300.0)
    for name, value in boards.environment(library).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return boards


@pytest.fixture
def nvml_here(nvml: GoldenBoards, nvml_library: Path, monkeypatch: pytest.MonkeyPatch) -> GoldenBoards:
    """The same two boards within this process: for what needs no sidecar."""
    monkeypatch.setattr(pynvml, "nvmlLib", ctypes.CDLL(str(nvml_library)))
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    return nvml
