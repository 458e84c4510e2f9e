"""Our joules, the naive way's, Zeus' and CodeCarbon's over the same seconds of one simulated board, and the truth."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.energy.device import device_energy
from analysis.energy.integral import read_series
from analysis.energy.sensor import Sensors
from analysis.requests.window import Window
from configs.meters import Meters
from server.power.sidecar import Sidecar
from tests.golden.nvml.world import (
    AVERAGE,
    COUNTER,
    COUNTER_OF_SENSOR,
    INSTANT,
    BoardModel,
    GoldenBoards,
    compile_library,
)
from traces.clock import now_ns
from traces.streams import read_trace

SECOND = 1_000_000_000
UUID = "GPU-golden"
BOARDS = {
    "A100, counter sees everything": BoardModel(UUID, offers=INSTANT | COUNTER),
    "A100, counter sums the sensor": BoardModel(UUID, offers=INSTANT | COUNTER | COUNTER_OF_SENSOR),
    "A100, no counter": BoardModel(UUID, offers=INSTANT),
    "H100, instant and average, no counter": BoardModel(UUID, offers=INSTANT | AVERAGE),
    "RTX 4090, no counter": BoardModel(UUID, offers=INSTANT, window_s=0.1),
}
PEERS = ("naive", "zeus", "codecarbon")


@dataclass(frozen=True)
class Row:
    """Relative errors over one window; None: the tool gave no joules."""

    board: str
    load: str
    true_j: float
    ours: float | None
    half_width: float | None
    """Of our sampling interval, relative."""
    method: str | None
    peers: dict[str, float | None]
    errors: dict[str, str]


def compare(python: str, seconds: float) -> Iterator[Row]:
    """Every board, steady and with random bursts; ``python`` has zeus and codecarbon (and pynvml)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        library = compile_library(folder)
        _put_nvidia_smi(folder)
        for number, (board, model) in enumerate(BOARDS.items()):
            for load in ("steady", "bursts"):
                world = GoldenBoards(folder / f"world-{number}-{load}", [model])
                os.environ.update(world.environment(library))
                yield _window(board, model, load, world, python, seconds, folder / f"{number}-{load}")


def _window(
    board: str, model: BoardModel, load: str, world: GoldenBoards, python: str, seconds: float, folder: Path
) -> Row:
    tools = {peer: _started(python, peer) for peer in PEERS}
    failed = {peer: answer for peer, tool in tools.items() if (answer := _ready(tool)) is not None}
    _plan(world, load, now_ns(), seconds + 20)
    with Sidecar.start(folder, Meters(sources=("nvml",)), engine_pid=None):
        time.sleep(2.0)
        start_ns = now_ns()
        _tell(tools)
        time.sleep(seconds)
        _tell(tools)
        end_ns = now_ns()
        time.sleep(1.5)
    window = Window(start_ns, end_ns)
    power = {"update_s": model.update_s, "window_s": model.window_s, "lag_s": model.lag_s}
    average = {**power, "window_s": model.average_s}
    calibration = {UUID: {"power_w": power, "power_avg_w": average, "energy_j": {"step_s": model.step_s}}}
    [series] = read_series(read_trace(folder, "power"))
    found = device_energy(series, window, Sensors(calibration, Meters()))
    true_j = world.true_j(start_ns, end_ns)
    answers: dict[str, dict[str, Any]] = {
        peer: failed.get(peer) or _answer(tool) for peer, tool in tools.items()
    }
    off = {
        peer: answer["joules"] / true_j - 1 if "joules" in answer else None
        for peer, answer in answers.items()
    }
    return Row(
        board=board,
        load=load,
        true_j=true_j,
        ours=None if found.energy_j is None else found.energy_j / true_j - 1,
        half_width=None if found.error_j is None else 1.96 * found.error_j / true_j,
        method=found.method,
        peers=off,
        errors={peer: answer["error"] for peer, answer in answers.items() if "error" in answer},
    )


def _put_nvidia_smi(folder: Path) -> None:
    """CodeCarbon looks for NVIDIA's GPUs only where a command of this name ends well."""
    command = folder / "bin" / "nvidia-smi"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\nexit 0\n")
    command.chmod(0o755)
    os.environ["PATH"] = f"{command.parent}:{os.environ['PATH']}"


def _plan(world: GoldenBoards, load: str, start_ns: int, seconds: float) -> None:
    """Decoding, with random bursts where the load has them, planned ahead."""
    rng = random.Random(1)  # noqa: S311 -- a simulation
    at_ns = start_ns
    world.draw(350.0, at_ns)
    while load == "bursts" and at_ns < start_ns + seconds * SECOND:
        at_ns += int(rng.expovariate(1 / 0.16) * SECOND)
        world.draw(600.0, at_ns)
        at_ns += SECOND // 25
        world.draw(350.0, at_ns)


def _started(python: str, peer: str) -> subprocess.Popen[str]:
    script = str(Path(__file__).with_name("peer.py"))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    interpreter = sys.executable if peer == "naive" else python
    return subprocess.Popen(
        [interpreter, script, peer], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, env=environment,
    )  # fmt: skip


def _ready(tool: subprocess.Popen[str]) -> dict[str, Any] | None:
    """Wait until a tool is ready; its answer, where it failed before."""
    assert tool.stdout is not None
    for line in tool.stdout:  # their own words come before
        if line.strip() == "ready":
            return None
        if line.startswith("{"):
            answer: dict[str, Any] = json.loads(line)
            return answer
    return {"error": "it ended before it began"}


def _tell(tools: dict[str, subprocess.Popen[str]]) -> None:
    for tool in tools.values():
        assert tool.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has failed, and its answer says how
            tool.stdin.write("\n")
            tool.stdin.flush()


def _answer(tool: subprocess.Popen[str]) -> dict[str, Any]:
    assert tool.stdout is not None
    for line in tool.stdout:
        if line.startswith("{"):
            answer: dict[str, Any] = json.loads(line)
            return answer
    return {"error": "it ended without an answer"}
