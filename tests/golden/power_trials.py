"""One try: a world, a sensor, a window; what analysis makes of the readings beside what was really used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.energy.device import DeviceEnergy, device_energy
from analysis.energy.integral import PowerSeries
from analysis.energy.moments import At
from analysis.energy.sensor import Sensors
from analysis.requests.window import Window
from configs.meters import Meters
from tests.golden.power_worlds import Floats, PowerWorld
from tests.golden.sensors import Observed, SensorModel, observe

START_NS = 1_000_000_000_000
Z95 = 1.959964
BOARD = "GPU-golden"


@dataclass(frozen=True)
class Trial:
    """What came out, and the truth."""

    found: DeviceEnergy
    true_j: float

    @property
    def off(self) -> float:
        """Relative error of the window's joules."""
        assert self.found.energy_j is not None
        return self.found.energy_j / self.true_j - 1

    @property
    def covered(self) -> bool:
        """Whether the sampling interval holds the truth."""
        assert self.found.energy_j is not None
        assert self.found.error_j is not None
        return abs(self.found.energy_j - self.true_j) <= Z95 * self.found.error_j

    @property
    def width(self) -> float:
        """Of the sampling interval, relative to the truth."""
        assert self.found.error_j is not None
        return 2 * Z95 * self.found.error_j / self.true_j


def nanoseconds(t_s: Floats) -> Any:
    """Seconds from a window's start on the run's clock."""
    return START_NS + np.rint(t_s * 1e9).astype(np.int64)


def series_of(seen: Observed, *, averaged: bool = False) -> PowerSeries:
    """As ``read_series`` would give it."""
    t_ns, counter_ns = nanoseconds(seen.t_s), nanoseconds(seen.counter_t_s)
    return PowerSeries(BOARD, "gpu", "nvml", t_ns, t_ns, seen.power_w, counter_ns, seen.counter_j, averaged)


def calibration(model: SensorModel) -> Mapping[str, Any]:
    """What a calibration that found everything says of a sensor."""
    power = {"update_s": model.update_s, "window_s": model.window_s, "lag_s": model.lag_s}
    found = {"power_w": power, "power_avg_w": power, "energy_j": {"step_s": model.counter_step_s}}
    return {BOARD: found}


def sensors_of(model: SensorModel, meters: Meters | None = None) -> Sensors:
    """A run's sensors after such a calibration."""
    return Sensors(calibration(model), meters or Meters())


def attempt(
    world: PowerWorld,
    model: SensorModel,
    rng: np.random.Generator,
    length_s: float,
    *,
    hz: float = 20.0,
    meters: Meters | None = None,
) -> Trial:
    """Poll the sensor from two seconds before the window to two after it, and analyse."""
    seen = observe(world, model, rng, -2.0, length_s + 2.0, hz=hz)
    window = Window(START_NS, START_NS + round(length_s * 1e9))
    found = device_energy(
        series_of(seen), window, sensors_of(model, meters), (At(nanoseconds(world.event_s)),)
    )
    return Trial(found, world.energy_j(0.0, length_s))
