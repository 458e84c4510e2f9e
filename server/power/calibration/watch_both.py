"""Watch a board and a trusted meter's log while a load goes on and off, and find the board's gain."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from itertools import cycle

import numpy as np

from configs.meters import ExternalLog
from server.power.calibration.against import GainFit, Readings, fit_gain
from server.power.calibration.calibrate import Load
from server.power.logs.external import ExternalMeter
from server.power.meter import Meter, Reading
from server.power.nvidia.nvml import NvmlMeter
from starwatt_errors import MeterError
from traces.clock import now_ns

STEPS_S = (4.0, *(8.0,) * 6)
"""Idle, then load and idle by turns: seven plateaus, and five degrees of freedom for what they are off by."""
_POLL_S = 0.02
_REACH_S = 2.0
_LEAST_READINGS = 20


@dataclass(frozen=True)
class Against:
    """A board's gain, as found beside a log."""

    device: str
    fit: GainFit

    @property
    def setting(self) -> dict[str, dict[str, float]]:
        """Give it as ``meters.gain`` takes it."""
        fit = self.fit
        given = {
            "factor": round(fit.factor, 4), "uncertainty": round(fit.uncertainty, 4),
            "offset_w": round(fit.offset_w, 2), "offset_uncertainty_w": round(fit.offset_uncertainty_w, 2),
        }  # fmt: skip
        return {self.device: given}

    def record(self) -> dict[str, object]:
        """Give it as a script takes it."""
        return {"gain": self.setting, "at_load": self.fit.at_load, **asdict(self.fit)}

    def words(self) -> list[str]:
        """Give it in words, for people."""
        fit = self.fit
        lowest, highest = (end(plateau.shown_w for plateau in fit.plateaus) for end in (min, max))
        given = ", ".join(f"{name}: {value:g}" for name, value in self.setting[self.device].items())
        return [
            f"{self.device}: true watts = {fit.factor:.4f} x shown {fit.offset_w:+.2f} W",
            f"  95 %: factor ±{100 * fit.uncertainty:.2f} %, offset ±{fit.offset_uncertainty_w:.2f} W",
            f"  {len(fit.plateaus)} plateaus at {lowest:.0f} to {highest:.0f} W",
            f"  true over shown at load: {fit.at_load:.4f}",
            f"  the log's clock is off by {fit.shift_s:+.2f} s",
            f"  in a study: meters: {{gain: {{{self.device}: {{{given}}}}}}}",
        ]


def gain_against(
    log: ExternalLog, load: Load | None, *, steps_s: tuple[float, ...] = STEPS_S, say: Callable[[str], None]
) -> Against:
    """Find the gain of the one visible board beside ``log``; without ``load`` somebody else's load has to move it.

    Raises:
        MeterError: there is not exactly one board, the log cannot be read, no load can be applied, or what was seen
            tells no gain.
    """
    with closing(NvmlMeter()) as board, closing(ExternalMeter(log)) as trusted:
        if len(board.devices) != 1:
            raise MeterError(
                f"--against: {len(board.devices)} boards are visible, and the log is of one: name it in "
                "CUDA_VISIBLE_DEVICES"
            )
        device = board.devices[0].name
        shown: list[Reading] = []
        true: list[Reading] = []
        with load(device) if load is not None else nullcontext() as switch:
            for on, seconds in zip(cycle((False, True)), steps_s, strict=False):
                say("load" if on else "idle")
                if switch is not None:
                    switch.switch(on)
                _watch(((board, shown), (trusted, true)), seconds)
    return Against(device, fit_gain(_of(shown), _of(true), reach_s=_REACH_S + log.clock_uncertainty_s))


def _watch(meters: tuple[tuple[Meter, list[Reading]], ...], seconds: float) -> None:
    end_ns = now_ns() + round(seconds * 1e9)
    while now_ns() < end_ns:
        for meter, readings in meters:
            readings.extend(meter.read(slow=False))
        time.sleep(_POLL_S)


def _of(readings: list[Reading]) -> Readings:
    """Sort them by their times, readings of one instant once."""
    powers_w = {reading.t_ns: reading.shown_w for reading in readings}
    known = {t_ns: watts for t_ns, watts in sorted(powers_w.items()) if watts is not None}
    if len(known) < _LEAST_READINGS:
        raise MeterError(f"--against: {len(known)} readings came from one of the two meters: too few")
    t_s = np.asarray(np.array(list(known)) * 1e-9, dtype=np.float64)
    return Readings(t_s, np.array(list(known.values()), dtype=np.float64))
