"""Real engines started one after the other and several at once: seconds, memory, and what they take while idle."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from configs.loader import load_variant
from configs.schema import EngineSettings
from server.engines.engine import Engine, free_port
from server.engines.engine_spec import EngineSpec
from server.engines.memory import GIB, taken_bytes
from server.power.modelled import Beside
from study.measure.checkpoints import Checkpoints

_REST_S, _IDLE_S = 3.0, 20.0


@dataclass(frozen=True)
class Starts:
    """Of some engines that were started so many at once."""

    at_once: int
    seconds: float
    each_gib: float
    idle_cpu_share: float
    """CPU seconds a second of one engine that nobody asks."""


def started(
    model: str, checkpoints: Checkpoints, settings: EngineSettings, at_once: int, logs: Path
) -> Starts:
    """Start the engines of all these checkpoints, and look at them while they idle."""
    specs = [
        EngineSpec(model, load_variant(variant), checkpoint, settings, free_port())
        for (_, variant), checkpoint in checkpoints.items()
    ]
    with ExitStack() as running:
        begun_s = time.monotonic()
        engines: list[Engine] = []
        for place in range(0, len(specs), at_once):
            engines += _together(specs[place : place + at_once], logs, running)
        took_s = time.monotonic() - begun_s
        taken = [taken_bytes(engine.process.pid) for engine in engines]
        time.sleep(_REST_S)
        beside = Beside([engine.process.pid for engine in engines])
        time.sleep(_IDLE_S)
        share = beside.cpu_share() or 0.0
    return Starts(at_once, took_s, max(taken) / GIB, share / len(engines))


def _together(specs: Sequence[EngineSpec], logs: Path, running: ExitStack) -> list[Engine]:
    engines = [
        running.enter_context(Engine.start(spec, logs / f"{spec.variant.name}-{spec.port}.log"))
        for spec in specs
    ]
    for engine in engines:
        engine.wait_ready()
    return engines
