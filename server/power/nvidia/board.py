"""One GPU's power, energy and state through NVML."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from server.power.meter import Device, Reading
from server.power.nvidia.binding import pynvml
from server.power.nvidia.library import POWER_AVERAGE, POWER_INSTANT, NvmlError, PassingError, Place, milli
from traces.clock import now_ns

_MODULE_SCOPE = 1  # NVML_POWER_SCOPE_MODULE: GPU, CPU and memory of a Grace Hopper module
_TRIES, _TRY_AGAIN_S = 5, 0.05
SILENT_S = 5.0
"""A board that has shown no power for this long is lost to the record; shorter, a reading is missing and no more."""


class NoPowerReadingError(NvmlError):
    """Boards are there, and none of them tells its power or its energy; ``left_out`` names each."""

    def __init__(self, left_out: Sequence[str]) -> None:
        self.left_out = tuple(left_out)
        super().__init__(f"NVML: {'; '.join(left_out)}")


class BoardMeter:
    """One GPU: what it offers is found out once, and what it does not is not asked again."""

    def __init__(self, place: Place) -> None:
        self._place, self.number = place, place.number
        self._offers = offers(place)
        self._called = place.name
        self._first_mj: int | None = None
        self._seen_ns = now_ns()
        self.device = Device(place.uuid, "gpu", "nvml", "; ".join(self._notes()))

    @property
    def name(self) -> str:
        """Name the board for people: ``NVIDIA A100 (GPU-…)``."""
        return f"{self._called} ({self._place.uuid})"

    def _notes(self) -> list[str]:
        notes = [f"{self._called}, whole board"]
        if self._offers.module:
            notes.append("its energy counter is left out: on this module it may hold the CPU's energy too")
        elif not self._offers.counter:
            notes.append("no energy counter")
        if not self._offers.instant:
            notes.append("no instantaneous power")
        if self._place.ask(pynvml.nvmlDeviceGetMigMode) in ([1, 1], [1, 0]):
            notes.append("MIG is on: power is of all its instances")
        return notes

    def read(self) -> Reading:
        """Read power, and why clocks are low."""
        before_ns = now_ns()
        instant, average = self._powers()
        after_ns = now_ns()
        return Reading(
            self.device,
            t_ns=(before_ns + after_ns) // 2,
            read_ns=after_ns - before_ns,
            power_w=instant,
            power_avg_w=average,
            throttle=_signed(self._place.ask(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons)),
        )

    def read_slow(self) -> Reading:
        """Read the counter, timed alone; temperature, clocks, utilisation and the power limit behind it."""
        ask = self._place.ask
        before_ns = now_ns()
        energy_j = self._energy_j() if self._offers.counter else None
        after_ns = now_ns()
        rates = ask(pynvml.nvmlDeviceGetUtilizationRates)
        return Reading(
            self.device,
            t_ns=(before_ns + after_ns) // 2,
            read_ns=after_ns - before_ns,
            energy_j=energy_j,
            temperature_c=_number(ask(pynvml.nvmlDeviceGetTemperature, pynvml.NVML_TEMPERATURE_GPU)),
            sm_clock_mhz=_number(ask(pynvml.nvmlDeviceGetClockInfo, pynvml.NVML_CLOCK_SM)),
            mem_clock_mhz=_number(ask(pynvml.nvmlDeviceGetClockInfo, pynvml.NVML_CLOCK_MEM)),
            utilization=None if rates is None else rates.gpu / 100.0,
            power_limit_w=milli(ask(pynvml.nvmlDeviceGetEnforcedPowerLimit)),
        )

    def _powers(self) -> tuple[float | None, float | None]:
        """(instantaneous, average); a call that fails now and then leaves a reading out, and no more."""
        if not self._offers.power:
            return None, None
        try:
            powers = self._asked_powers()
        except PassingError as error:
            self._heed(seen=False, trouble=str(error).removeprefix("NVML: "))
            return None, None
        self._heed(seen=powers != (None, None))
        return powers

    def _energy_j(self) -> float | None:
        """Since the first reading; None where the call failed this time."""
        counter_mj = self._place.ask(pynvml.nvmlDeviceGetTotalEnergyConsumption)
        if not self._offers.power:
            self._heed(seen=counter_mj is not None)
        if counter_mj is None:
            return None
        self._first_mj = counter_mj if self._first_mj is None else self._first_mj
        return float(counter_mj - self._first_mj) * 1e-3

    def _heed(self, *, seen: bool, trouble: str = "it offers none any more") -> None:
        if seen:
            self._seen_ns = now_ns()
        elif now_ns() - self._seen_ns > SILENT_S * 1e9:
            raise NvmlError(f"NVML: {self._place} has shown no power for {SILENT_S:g} s: {trouble}")

    def _asked_powers(self) -> tuple[float | None, float | None]:
        if self._offers.instant or self._offers.average:
            instant, average = self._place.watts([POWER_INSTANT, POWER_AVERAGE])
            return instant, average
        return None, milli(self._place.demand(pynvml.nvmlDeviceGetPowerUsage))


@dataclass(frozen=True)
class Offers:
    """Hold what a board tells."""

    instant: bool
    average: bool
    usage: bool
    counter: bool
    module: bool
    """Power of a whole module, and with it a counter of which nobody knows what it counts."""

    @property
    def power(self) -> bool:
        """Say whether there is any power reading."""
        return self.instant or self.average or self.usage


def offers(place: Place) -> Offers:
    """Find out what a board tells.

    Raises:
        NoPowerReadingError: neither power nor energy.
        NvmlError: it does not answer.
    """
    asked = _Asked(place)
    instant, average = asked.whether(lambda: place.watts([POWER_INSTANT, POWER_AVERAGE]), 2)
    [usage] = asked.whether(lambda: [place.demand(pynvml.nvmlDeviceGetPowerUsage)])
    [module] = asked.whether(lambda: place.watts([(POWER_INSTANT, _MODULE_SCOPE)]))
    counter = False
    if not module:
        [counter] = asked.whether(lambda: [place.demand(pynvml.nvmlDeviceGetTotalEnergyConsumption)])
    offered = Offers(instant, average, usage, counter, module)
    if not (offered.power or counter):
        if asked.trouble is not None:
            raise NvmlError(asked.trouble)
        words = f"{place}, {place.name}, offers neither power nor energy: it cannot be measured"
        raise NoPowerReadingError([words])
    return offered


@dataclass
class _Asked:
    """Asks what a board offers; a call that fails is asked again, since real ones do now and then."""

    place: Place
    trouble: str | None = None

    def whether(self, call: Callable[[], Sequence[Any]], count: int = 1) -> list[bool]:
        """Say of each of ``count`` values whether it is there; not, where the call keeps failing."""
        for _ in range(_TRIES):
            try:
                return [value is not None for value in call()]
            except PassingError as error:
                self.trouble = str(error)
                time.sleep(_TRY_AGAIN_S)
        return [False] * count


def _signed(mask: int | None) -> int | None:
    """Return a mask of 64 bits as an int64: older drivers set the highest for a reason they do not know."""
    return mask if mask is None or mask < 1 << 63 else mask - (1 << 64)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
