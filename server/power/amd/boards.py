"""AMD GPUs: power now and on average, energy accumulator, temperature, clocks and power cap."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from itertools import takewhile
from typing import Any

from server.power.amd.library import AmdError, NoAmdError, offered, opened
from server.power.meter import BoardsMeter, Device, Reading
from traces.clock import now_ns

_VISIBLE = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
_NONE_FROM_HERE = "-1"
"""An entry that hides itself and all after it."""
_NOT_KNOWN = 0xFFFF
"""From here on a power in watts is none: drivers fill 16, 32 or 64 bits where a board has no such sensor."""
_MICRO_FROM = 100_000
"""Power caps beyond so much are of microwatts: releases of ROCm differ."""
_MILLI_FROM = 1000
"""Temperatures beyond so much are of thousandths."""
_WRAPS = (1 << 32, 1 << 64)
_NEAR = 0.1
"""A counter that goes back from the last tenth of such a range into its first has come round."""


class BoardMeter:
    """One board by its handle."""

    def __init__(self, smi: Any, handle: Any, uuid: str) -> None:
        self._smi, self._handle = smi, handle
        asic = offered(smi, lambda: smi.amdsmi_get_gpu_asic_info(handle)) or {}
        self.name = str(asic.get("market_name") or "AMD GPU")
        now_w, average_w = self._power()
        if now_w is None and average_w is None:
            raise AmdError(f"{self.name} {uuid}: tells no power (a second die, a partition, or an APU)")
        note = "current socket power" if now_w is not None else "average socket power: the board has no other"
        self.device = Device(uuid, "gpu", "amdsmi", f"{self.name}: {note}")
        self._counter = Accumulator()

    def read(self) -> Reading:
        """Read power now and on average."""
        before_ns = now_ns()
        now_w, average_w = self._power()
        after_ns = now_ns()
        if now_w is None and average_w is None:
            raise AmdError(f"AMD SMI: {self.device.name}: tells no power any more")
        return Reading(
            self.device, (before_ns + after_ns) // 2, after_ns - before_ns,
            power_w=now_w, power_avg_w=average_w,
        )  # fmt: skip

    def read_slow(self) -> Reading:
        """Read the accumulator, timed by itself; power cap, temperature, clocks and activity."""
        smi, handle = self._smi, self._handle
        before_ns = now_ns()
        energy = offered(smi, lambda: smi.amdsmi_get_energy_count(handle)) or {}
        after_ns = now_ns()
        activity = offered(smi, lambda: smi.amdsmi_get_gpu_activity(handle)) or {}
        cap = offered(smi, lambda: smi.amdsmi_get_power_cap_info(handle)) or {}
        percent = known(activity.get("gfx_activity"))
        return Reading(
            self.device,
            (before_ns + after_ns) // 2,
            after_ns - before_ns,
            energy_j=self._counter.joules(energy),
            power_limit_w=_cap_w(cap.get("power_cap")),
            temperature_c=self._temperature_c(),
            sm_clock_mhz=self._clock_mhz("GFX"),
            mem_clock_mhz=self._clock_mhz("MEM"),
            utilization=None if percent is None else percent / 100,
        )

    def _power(self) -> tuple[float | None, float | None]:
        """Watts just now, and on average."""
        smi, handle = self._smi, self._handle
        power = offered(smi, lambda: smi.amdsmi_get_power_info(handle)) or {}
        now_w, average_w = known(power.get("current_socket_power")), known(power.get("average_socket_power"))
        if now_w is None and average_w is None:
            now_w = known(power.get("socket_power"))
        return now_w or None, average_w or None

    def _temperature_c(self) -> float | None:
        smi, handle = self._smi, self._handle
        current = smi.AmdSmiTemperatureMetric.CURRENT
        for kind in (smi.AmdSmiTemperatureType.HOTSPOT, smi.AmdSmiTemperatureType.EDGE):
            shown = known(offered(smi, partial(smi.amdsmi_get_temp_metric, handle, kind, current)))
            if shown:
                return shown / 1000 if shown >= _MILLI_FROM else shown
        return None

    def _clock_mhz(self, kind: str) -> float | None:
        smi, handle = self._smi, self._handle
        clock = offered(smi, lambda: smi.amdsmi_get_clock_info(handle, smi.AmdSmiClkType[kind])) or {}
        return known(clock.get("clk", clock.get("cur_clk")))


class Accumulator:
    """Count joules since the first reading; a counter that came round continues, one that began anew goes back."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._last = 0
        self._rounds = 0

    def joules(self, shown: Any) -> float | None:
        """Read what ``amdsmi_get_energy_count`` gave: counts, and microjoules a count; None where it has none."""
        count, each_uj = shown.get("energy_accumulator", shown.get("power")), shown.get("counter_resolution")
        if not isinstance(count, int) or not isinstance(each_uj, int | float) or not each_uj or not count:
            return None
        if self._first is None:
            self._first = count
        for size in _WRAPS:
            if size * (1 - _NEAR) < self._last < size and count < size * _NEAR:
                self._rounds += size
                break
        self._last = count
        return (count + self._rounds - self._first) * float(each_uj) * 1e-6


def known(value: Any) -> float | None:
    """Return a figure of AMD SMI, or None: ``N/A``, or a field full of ones."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < _NOT_KNOWN else None


def _cap_w(shown: Any) -> float | None:
    if isinstance(shown, bool) or not isinstance(shown, int | float) or not 0 < shown < 1e12:
        return None
    return shown * 1e-6 if shown >= _MICRO_FROM else float(shown)


class AmdMeter(BoardsMeter):
    """Reads every board once: of partitions of one, and of dies of which one alone tells power, the first that does.

    Raises:
        NoAmdError: there is no AMD SMI, no driver, or no board.
        AmdError: none of the boards tells its power, or one that ``gpus`` names is missing.
    """

    def __init__(self, gpus: Sequence[str] | None = None) -> None:
        with ExitStack() as stack:
            smi = stack.enter_context(opened())
            boards, left_out = _open_boards(smi, gpus)
            super().__init__(boards, stack.pop_all(), left_out)


def _open_boards(smi: Any, gpus: Sequence[str] | None) -> tuple[list[BoardMeter], tuple[str, ...]]:
    """Return those that tell their power, and in words those that are left out."""
    boards: dict[str, BoardMeter] = {}
    left_out = []
    handles = [
        (str(smi.amdsmi_get_gpu_device_uuid(handle)), handle) for handle in smi.amdsmi_get_processor_handles()
    ]
    chosen = _visible(smi, handles) if gpus is None else gpus
    missed = [uuid for uuid in chosen if uuid not in dict(handles)]
    if missed:
        raise AmdError(f"AMD SMI: meters.gpus: {', '.join(missed)} is not here")
    for uuid, handle in handles:
        if uuid not in chosen:
            continue
        place = str(smi.amdsmi_get_gpu_device_bdf(handle)).rpartition(".")[0]
        if place in boards:
            left_out.append(
                f"{uuid}: a partition of {boards[place].device.name}, whose power is that of the whole"
            )
            continue
        try:
            boards[place] = BoardMeter(smi, handle, uuid)
        except AmdError as error:
            left_out.append(str(error))
    if not boards:
        raise (
            AmdError(f"AMD SMI: {'; '.join(left_out)}") if left_out else NoAmdError("AMD SMI: no GPU is here")
        )
    return list(boards.values()), tuple(left_out)


def _visible(smi: Any, boards: Sequence[tuple[str, Any]]) -> Sequence[str]:
    """List what a program started here would see: ROCr counts in AMD SMI's order, HIP among those that ROCr leaves.

    Args:
        smi: AMD SMI.
        boards: UUID and handle of each board.

    Raises:
        AmdError: a variable names a board by a UUID that none has, or that several begin with.
    """
    for variable in _VISIBLE:
        named = os.environ.get(variable)
        if named is None:
            continue
        parts = takewhile(
            lambda part: part != _NONE_FROM_HERE, filter(None, map(str.strip, named.split(",")))
        )
        places = [_place(smi, boards, variable, part) for part in parts]
        boards = [boards[place] for place in places if place < len(boards)]
    return [uuid for uuid, _ in boards]


def _place(smi: Any, boards: Sequence[tuple[str, Any]], variable: str, part: str) -> int:
    """Find a board's place by its number, or by how ``GPU-<serial>``, as ROCr has it, or its UUID begins."""
    if part.isdigit():
        return int(part)
    names = [(f"GPU-{_serial(smi, handle)}", f"GPU-{uuid}".upper()) for uuid, handle in boards]
    begun = [place for place, both in enumerate(names) if any(name.startswith(part.upper()) for name in both)]
    if len(begun) != 1 or len(part) <= len("GPU-"):
        here = ", ".join(f"{name} or {other}" for name, other in names)
        raise AmdError(
            f"AMD SMI: {variable}: {part} is the number or UUID of no board, or of several (here: {here}): "
            "correct it, or name them in meters.gpus"
        )
    return begun[0]


def _serial(smi: Any, handle: Any) -> str:
    """Read a board's serial number as ROCr spells it: 16 hexadecimal digits; ``XX`` where it has none."""
    asic = offered(smi, lambda: smi.amdsmi_get_gpu_asic_info(handle)) or {}
    serial = str(asic.get("asic_serial") or "").upper().removeprefix("0X")
    return serial.zfill(16) if serial.strip("0") and serial != "N/A" else "XX"
