"""Describe a power sensor as it is known: how often it updates, what it averages over, how late, and its board's gain.

Calibration (``sensor_calibration`` in manifest.json) says what was found on the machine. What it could not find is
assumed here, on the side that makes intervals wide, and the result says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from analysis.arrays import Floats
from configs.meters import Meters

ASSUMED_UPDATE_S = 0.100
ASSUMED_WINDOW_S = 0.025  # of 100 ms: the least that any board was found to look at (arXiv 2312.02741)
ASSUMED_AVERAGE_S = 1.0  # what a reading that calls itself an average covers on Hopper and Ada (same source)
ASSUMED_STEP_S = 0.100
BOARD_FACTOR, BOARD_OFFSET_W = 0.10, 23.0
"""Half-widths that hold all boards known beside an external meter: 19 of the same source's authors (slopes off by 0.1
to 9.5 %, offsets of -12 to 12 W), and those of which raw files are at hand (docs/measurements/real-boards.md)."""

BOARDS = frozenset(("nvml", "amdsmi"))
"""Sources whose readings a board makes by a clock of its own."""
CLOCK_BOUND = 0.005
"""Of the window. Shifted by this share, a window gains at one edge at most what it has there above the other edge:
half a percent of its joules where the whole difference between idle and load lies between them."""


@dataclass(frozen=True)
class Sensor:
    """Say how a board's power readings come about; ``assumed`` names what calibration did not find."""

    update_s: float = ASSUMED_UPDATE_S
    window_s: float = ASSUMED_WINDOW_S  # each reading is the mean over this long ...
    lag_s: float = 0.0  # ... which ended this long before the update that shows it
    step_s: float = ASSUMED_STEP_S  # between two steps of the energy counter
    # Within how many seconds the common place of its readings in time lies, by its own clock.
    clock_s: float = 0.0
    assumed: tuple[str, ...] = ("update_s", "window_s", "lag_s", "step_s")


@dataclass(frozen=True)
class Gain:
    """True watts of one board from those that it shows: factor x shown + offset, which are applied.

    Half-widths of what is not known of both are kept apart from sampling; None: nothing is known.
    """

    factor: float = 1.0
    offset_w: float = 0.0
    half_width: float | None = BOARD_FACTOR  # of the factor, relative
    offset_half_w: float | None = BOARD_OFFSET_W

    def applied(self, shown_j: Floats | float, seconds: Floats | float) -> Any:
        """Correct the joules that a board showed over so many seconds."""
        return shown_j * self.factor + self.offset_w * seconds


@dataclass(frozen=True)
class Said:
    """A statement on a log's readings, where nothing was watched."""

    averages_s: float | None  # each is the mean over so long; None: since the one before
    clock_uncertainty_s: float  # half-width of what is not known of their place in time


@dataclass(frozen=True)
class Sensors:
    """All that a run says of its sensors."""

    calibration: Mapping[str, Any]  # manifest.json's sensor_calibration: by device
    meters: Meters
    limits_w: Mapping[str, float] = field(default_factory=dict)  # by device: the board's power limit
    imported: Mapping[str, Said] = field(default_factory=dict)  # by device, of a cell that others measured

    def limit_w(self, device: str) -> float | None:
        """Return what a board may draw on average; None where it does not say."""
        return self.limits_w.get(device)

    def sensor(self, device: str, source: str, *, averaged: bool, reading_s: float) -> Sensor:
        """Describe one device's sensor; ``averaged``: its power is the board's own average, no instantaneous reading.

        RAPL's and modelled power are means since the last reading, ``reading_s`` before, by construction; a log's
        readings are what the study's file says.
        """
        if source == "external":
            return self._of_a_log(device, reading_s)
        if source not in BOARDS:
            return Sensor(0.0, reading_s, 0.0, 0.001, assumed=())
        sensor = Sensor(window_s=ASSUMED_AVERAGE_S) if averaged else Sensor()
        if device in self.imported:
            return _as_said(sensor, self.imported[device])
        calibrated = self.calibration.get(device)
        if not isinstance(calibrated, Mapping):
            return sensor
        channel = calibrated.get("power_avg_w" if averaged else "power_w") or {}
        values = {name: channel.get(name) for name in ("update_s", "window_s", "lag_s")}
        values["step_s"] = (calibrated.get("energy_j") or {}).get("step_s")
        known = {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
        return replace(sensor, **known, assumed=tuple(name for name in sensor.assumed if name not in known))

    def _of_a_log(self, device: str, reading_s: float) -> Sensor:
        """Take each line as a reading; its counter has moved at some moment since the line before."""
        log = next((log for log in self.meters.external if log.device == device), None)
        said = Said(log.averages_s, log.clock_uncertainty_s) if log else Said(None, 0.0)
        return _as_said(Sensor(0.0, reading_s, 0.0, reading_s), self.imported.get(device, said))

    def gain(self, device: str, source: str) -> Gain:
        """Return the gain of one device: the study's, or what boards differ by; of other meters nothing is known."""
        given = self.meters.gain.get(device)
        if given is not None:
            return Gain(given.factor, given.offset_w, given.uncertainty, given.offset_uncertainty_w)
        return Gain() if source == "nvml" else Gain(half_width=None, offset_half_w=None)


def _as_said(sensor: Sensor, said: Said) -> Sensor:
    window_s = sensor.window_s if said.averages_s is None else said.averages_s
    assumed = ("window_s",) if said.averages_s is None else ()
    return replace(sensor, window_s=window_s, clock_s=2 * said.clock_uncertainty_s, assumed=assumed)


def no_calibration() -> Sensors:
    """Return what holds where a run says nothing."""
    return Sensors({}, Meters())
