"""Which boards an engine that is started here gets, and so which are metered: no board on which it is not."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache

from configs.meters import Meters
from configs.schema import EngineSettings
from server.engines.toolchain import computes_on_the_cpu
from server.power.nvidia.board import NoPowerReadingError
from server.power.nvidia.exclusivity import boards_of
from server.power.nvidia.library import NoDriverError, opened
from server.power.nvidia.nvml import NvmlMeter, visible_gpus

ELSEWHERE = "engine_not_metered"


@dataclass(frozen=True)
class Allotment:
    """The boards of one engine."""

    meters: Meters
    """Those that read these boards."""
    numbers: tuple[int, ...] | None = None
    """What it is given to see, as CUDA counts; None: all that this process sees, the environment as it is."""
    reasons: tuple[str, ...] = ()
    """Why the joules of these boards are not the engine's."""

    def as_seen(self, engine_pid: int) -> Allotment:
        """Return the same once the engine runs: a vLLM built for the CPU, and that no board lists, is on none."""
        if not (self.meters.gpus and computes_on_the_cpu()) or _is_on_a_board(engine_pid):
            return self
        if self.meters.sources == "auto":
            return replace(self, meters=self.meters.model_copy(update={"gpus": ()}))
        return replace(self, reasons=(ELSEWHERE,))


def allot(meters: Meters, engine: EngineSettings) -> Allotment:
    """Take as many boards as a study asks for of those that it names, or that are visible, and that tell their power.

    Raises:
        MeterError: a driver is there, but it fails, or a board that the study names does not answer.
    """
    if meters.gpus == () or (meters.sources != "auto" and "nvml" not in meters.sources):
        return Allotment(meters)
    there = readable(meters.gpus)
    if not there:
        return Allotment(meters)
    allotted = dict(list(there.items())[: engine.boards])
    hides = len(allotted) == engine.boards and set(allotted) != {gpu.uuid for gpu in visible_gpus()}
    return Allotment(
        meters.model_copy(update={"gpus": tuple(allotted)}), tuple(allotted.values()) if hides else None
    )


@lru_cache(maxsize=8)
def readable(gpus: tuple[str, ...] | None) -> Mapping[str, int]:
    """Return UUIDs of the boards whose power is read, with their numbers; empty without any.

    Found once a process: were a board left out that is lost on the way, joules of later cells would be those of fewer
    boards.
    """
    try:
        with closing(NvmlMeter(gpus)) as meter:
            return dict(zip((device.name for device in meter.devices), meter.numbers, strict=True))
    except (NoDriverError, NoPowerReadingError):
        return {}


def environment_of(numbers: tuple[int, ...] | None) -> dict[str, str]:
    """Return what shows an engine these boards alone (``spawn`` has CUDA count by PCI bus)."""
    return {} if numbers is None else {"CUDA_VISIBLE_DEVICES": ",".join(map(str, numbers))}


def _is_on_a_board(engine_pid: int) -> bool:
    try:
        with opened():
            return bool(boards_of(engine_pid))
    except NoDriverError:
        return False
