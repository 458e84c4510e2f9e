"""Our joules and the naive way's over many worlds in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tests.golden.power_trials import attempt
from tests.golden.power_worlds import PowerWorld, bursts, steady, waves
from tests.golden.sensors import SENSORS, SensedWorld, SensorModel

Draw = Callable[[np.random.Generator, float], PowerWorld]
LOADS: dict[str, Draw] = {
    "steady": lambda _, length_s: steady(length_s),
    "bursts": bursts,
    "wandering": waves,
}


@dataclass(frozen=True)
class Line:
    """One sensor under one load, 60 s windows, without its counter."""

    sensor: str
    load: str
    ours_p95: float
    covered: float
    width: float
    naive_p95: float


def lines(worlds: int, length_s: float = 60.0) -> list[Line]:
    """Every sensor under every load."""
    rng = np.random.default_rng(20)
    return [
        _line(replace(model, counter=None), name, draw, rng, worlds, length_s)
        for model in SENSORS
        for name, draw in LOADS.items()
    ]


def _line(
    model: SensorModel, name: str, draw: Draw, rng: np.random.Generator, worlds: int, length_s: float
) -> Line:
    trials, naive = [], []
    for _ in range(worlds):
        world = draw(rng, length_s)
        trials.append(attempt(world, model, rng, length_s))
        polls = np.asarray(rng.uniform(0, 0.02) + np.arange(int(length_s)), dtype=np.float64)
        shown = SensedWorld(world, model, rng, -2.0, length_s + 2.0).power_w(polls)
        naive.append(float(shown.mean()) * length_s / world.energy_j(0.0, length_s) - 1)
    return Line(
        sensor=model.name,
        load=name,
        ours_p95=float(np.percentile([abs(trial.off) for trial in trials], 95)),
        covered=float(np.mean([trial.covered for trial in trials])),
        width=float(np.median([trial.width for trial in trials])),
        naive_p95=float(np.percentile(np.abs(naive), 95)),
    )
