"""Power sensors as boards have them, on virtual time: what a sampler reads of a world whose joules are known.

Update period and averaging window are those that Yang, Adamek and Armour measured (arXiv 2312.02741). What the
energy counter adds up is documented nowhere: both possibilities are modelled, a counter that sees everything
(``all``) and one that sums what the power sensor saw (``sensor``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tests.golden.power_worlds import Floats, PowerWorld

Counter = Literal["all", "sensor"]


@dataclass(frozen=True)
class SensorModel:
    """One board's sensor."""

    name: str
    update_s: float
    window_s: float
    lag_s: float = 0.0
    """From the end of the averaging window to the update that shows it."""
    gain: float = 1.0
    counter: Counter | None = "all"
    counter_step_s: float = 0.100
    jitter_s: float = 0.0
    """Standard deviation of each update's own lateness."""

    @property
    def seen(self) -> float:
        """The share of time that it looks at."""
        return min(self.window_s / self.update_s, 1.0)


V100 = SensorModel("V100", 0.020, 0.010)
A100 = SensorModel("A100", 0.100, 0.025)
H100_INSTANT = SensorModel("H100 instant", 0.100, 0.025)
H100_AVERAGE = SensorModel("H100 average", 0.100, 1.0)
RTX_4090 = SensorModel("RTX 4090", 0.100, 0.100)
RTX_4090_AVERAGE = SensorModel("RTX 4090 average", 0.100, 1.0)
SENSORS = (V100, A100, H100_INSTANT, H100_AVERAGE, RTX_4090, RTX_4090_AVERAGE)


@dataclass(frozen=True)
class Observed:
    """What a sampler noted: power at every poll, the counter at those of its own rate."""

    t_s: Floats  # (k,)
    power_w: Floats  # (k,)
    counter_t_s: Floats  # (e,)
    counter_j: Floats  # (e,) empty without a counter


class SensedWorld:
    """A sensor on a world; ``phase_s`` says when within its period it updates, the counter has a phase of its own."""

    def __init__(
        self, world: PowerWorld, model: SensorModel, rng: np.random.Generator, start_s: float, end_s: float
    ) -> None:
        self._world, self._model = world, model
        count = int((end_s - start_s + 4.0) / model.update_s) + 2
        first_s = start_s - 3.0 + rng.uniform(0, model.update_s)
        grid: Floats = np.asarray(first_s + model.update_s * np.arange(count), dtype=np.float64)
        self._shown_s = (
            np.sort(grid + np.abs(rng.normal(0.0, model.jitter_s, count))) if model.jitter_s else grid
        )
        ends = grid - model.lag_s
        begins: Floats = np.asarray(ends - model.window_s, dtype=np.float64)
        self._watts = (world.used_j(ends) - world.used_j(begins)) / model.window_s * model.gain
        self._watts = np.round(self._watts, 3)  # NVML's milliwatts
        self._counter_phase = rng.uniform(0, model.counter_step_s)
        self._sensed_j = np.concatenate(([0.0], np.cumsum(self._watts[:-1] * np.diff(grid))))

    def power_w(self, t_s: Floats) -> Floats:
        """The value that stands there at each of ``t_s``."""
        at = np.maximum(np.searchsorted(self._shown_s, t_s, side="right") - 1, 0)
        return np.asarray(self._watts[at], dtype=np.float64)

    def counter_j(self, t_s: Floats) -> Floats:
        """The energy counter at each of ``t_s``, in whole millijoules."""
        step = self._model.counter_step_s
        stepped = (
            np.floor((t_s - self._counter_phase) / step) * step + self._counter_phase - self._model.lag_s
        )
        if self._model.counter == "all":
            joules = self._world.used_j(stepped) * self._model.gain
        else:
            joules = self._sensed_j[np.maximum(np.searchsorted(self._shown_s, stepped, side="right") - 1, 0)]
        return np.asarray(np.round(joules, 3), dtype=np.float64)


def observe(
    world: PowerWorld,
    model: SensorModel,
    rng: np.random.Generator,
    start_s: float,
    end_s: float,
    *,
    hz: float = 20.0,
    counter_hz: float = 1.0,
    wobble_s: float = 0.0005,
) -> Observed:
    """Poll a sensor from ``start_s`` to ``end_s`` on the sampler's absolute schedule, each reading a little late."""
    sensed = SensedWorld(world, model, rng, start_s, end_s)
    due = start_s + rng.uniform(0, 1 / hz) + np.arange(int((end_s - start_s) * hz)) / hz
    polls = due + rng.exponential(wobble_s, due.size)
    every = max(round(hz / counter_hz), 1)
    at = polls[::every] if model.counter else polls[:0]
    joules = sensed.counter_j(at) if at.size else at
    return Observed(polls, sensed.power_w(polls), at, joules - joules[:1] if at.size else joules)
