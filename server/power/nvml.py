"""NVIDIA GPUs, read through NVML (``pynvml`` of the package nvidia-ml-py)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pynvml

from server.power.meter import Device, Reading
from starwatt_errors import MeterError
from traces.clock import now_ns

_MODULE_SCOPE = 1  # NVML_POWER_SCOPE_MODULE: GPU, CPU and memory of a Grace Hopper module
_POWER_FIELDS = (pynvml.NVML_FI_DEV_POWER_INSTANT, pynvml.NVML_FI_DEV_POWER_AVERAGE)
_SM, _MEM, _CHIP = pynvml.NVML_CLOCK_SM, pynvml.NVML_CLOCK_MEM, pynvml.NVML_TEMPERATURE_GPU


@dataclass(frozen=True)
class Board:
    """One GPU of this machine."""

    number: int
    """As nvidia-smi counts: by PCI bus, hidden ones too."""
    uuid: str
    name: str


def visible_gpus() -> list[Board]:
    """The GPUs that a program started here would see; empty where there is no driver.

    Raises:
        MeterError: there is a driver, but it does not answer.
    """
    try:
        pynvml.nvmlInit()
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded):
        return []
    except pynvml.NVMLError as error:
        raise MeterError(f"NVML: {error}; does nvidia-smi work?") from error
    try:
        numbers = {uuid_of(handle): number for number, handle in enumerate(_all_handles())}
        return [
            Board(numbers[uuid_of(handle)], uuid_of(handle), text(pynvml.nvmlDeviceGetName(handle)))
            for handle in visible_handles()
        ]
    except pynvml.NVMLError as error:
        raise MeterError(f"NVML: {error}") from error
    finally:
        pynvml.nvmlShutdown()


class NvmlMeter:
    """Instantaneous and average power, throttle reasons; more slowly energy counter, temperature, clocks, utilisation.

    The counter is read at a rate of its own: a call costs 2 to 7 ms, and read too often it goes stale.

    Raises:
        MeterError: NVML fails, or a GPU that was asked for is not there.
    """

    def __init__(self, gpus: Sequence[str] | None = None) -> None:
        try:
            pynvml.nvmlInit()
            handles = visible_handles() if gpus is None else [handle_of(gpu) for gpu in gpus]
            self._boards = [_Board(handle) for handle in handles]
        except pynvml.NVMLError as error:
            raise MeterError(f"NVML: {error}; does nvidia-smi work?") from error

    @property
    def devices(self) -> list[Device]:
        """Every visible GPU, or those asked for, named by its UUID."""
        return [board.device for board in self._boards]

    def read(self, *, slow: bool) -> list[Reading]:
        """A reading of every GPU; with ``slow`` another of each, with the energy counter at its own time.

        Raises:
            MeterError: a GPU was lost or reset.
        """
        readings = [board.read() for board in self._boards]
        if slow:
            readings += [board.read_slow() for board in self._boards]
        return readings

    def close(self) -> None:
        """Shut NVML down."""
        pynvml.nvmlShutdown()


class _Board:
    """One GPU: what it offers is found out once, and what it does not is not asked again."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._instant, self._average = _power_fields(handle)
        module = _module_power_offered(handle)
        counter_mj = None if module else asked(pynvml.nvmlDeviceGetTotalEnergyConsumption, handle)
        self._first_mj: int | None = None
        self._has_counter = counter_mj is not None
        lacks = []
        if module:
            lacks.append("its energy counter is left out: on this module it may hold the CPU's energy too")
        elif counter_mj is None:
            lacks.append("no energy counter")
        if not self._instant:
            lacks.append("no instantaneous power")
        if asked(pynvml.nvmlDeviceGetMigMode, handle) in ([1, 1], [1, 0]):
            lacks.append("MIG is on: power is of all its instances")
        name = text(pynvml.nvmlDeviceGetName(handle))
        self.device = Device(uuid_of(handle), "gpu", "nvml", "; ".join([f"{name}, whole board", *lacks]))

    def read(self) -> Reading:
        """Power, and why clocks are low."""
        before_ns = now_ns()
        instant, average = self._powers()
        after_ns = now_ns()
        return Reading(
            self.device,
            t_ns=(before_ns + after_ns) // 2,
            read_ns=after_ns - before_ns,
            power_w=instant,
            power_avg_w=average,
            throttle=asked(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, self._handle),
        )

    def read_slow(self) -> Reading:
        """The counter, timed alone; temperature, clocks and utilisation behind it."""
        handle, energy_j = self._handle, None
        before_ns = now_ns()
        if self._has_counter:
            counter_mj = asked(pynvml.nvmlDeviceGetTotalEnergyConsumption, handle)
            if counter_mj is not None:
                self._first_mj = counter_mj if self._first_mj is None else self._first_mj
                energy_j = (counter_mj - self._first_mj) * 1e-3
        after_ns = now_ns()
        rates = asked(pynvml.nvmlDeviceGetUtilizationRates, handle)
        return Reading(
            self.device,
            t_ns=(before_ns + after_ns) // 2,
            read_ns=after_ns - before_ns,
            energy_j=energy_j,
            temperature_c=_number(asked(pynvml.nvmlDeviceGetTemperature, handle, _CHIP)),
            sm_clock_mhz=_number(asked(pynvml.nvmlDeviceGetClockInfo, handle, _SM)),
            mem_clock_mhz=_number(asked(pynvml.nvmlDeviceGetClockInfo, handle, _MEM)),
            utilization=None if rates is None else rates.gpu / 100.0,
        )

    def _powers(self) -> tuple[float | None, float | None]:
        if not (self._instant or self._average):
            usage_mw = asked(pynvml.nvmlDeviceGetPowerUsage, self._handle)
            return None, None if usage_mw is None else usage_mw * 1e-3
        values = asked(pynvml.nvmlDeviceGetFieldValues, self._handle, _POWER_FIELDS)
        return (None, None) if values is None else (_watts(values[0]), _watts(values[1]))


def visible_handles() -> list[Any]:
    """Handles in NVML's order, or of ``CUDA_VISIBLE_DEVICES`` in its own (numbers, UUIDs or their beginnings).

    Raises:
        MeterError: a GPU that it names is not there.
    """
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return _all_handles()
    handles = []
    for part in filter(None, (piece.strip() for piece in wanted.split(","))):
        if part == "-1":  # as CUDA has it: this one and all after it are hidden
            break
        handles.append(handle_of(part))
    return handles


def _all_handles() -> list[Any]:
    return [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]


def handle_of(gpu: str) -> Any:
    """The board of a number, a UUID or the beginning of one.

    Raises:
        MeterError: there is none, or several; the message says which there are.
    """
    handles = _all_handles()
    if gpu.isdigit() and int(gpu) < len(handles):
        return handles[int(gpu)]
    uuids = [uuid_of(handle) for handle in handles]
    found = [handle for handle, uuid in zip(handles, uuids, strict=True) if uuid.startswith(gpu)]
    if len(found) == 1 and not gpu.isdigit():
        return found[0]
    if gpu.startswith("MIG-"):
        raise MeterError(
            f"NVML: {gpu} is a MIG instance, and power is known of whole boards alone: switch MIG off"
        )
    raise MeterError(f"NVML: there is no GPU {gpu} here; there is {', '.join(uuids) or 'none'}")


def uuid_of(handle: Any) -> str:
    """A board's UUID."""
    return text(pynvml.nvmlDeviceGetUUID(handle))


def _power_fields(handle: Any) -> tuple[bool, bool]:
    """Whether the board offers (instantaneous, average) power by field values."""
    values = asked(pynvml.nvmlDeviceGetFieldValues, handle, _POWER_FIELDS)
    if values is None:
        return False, False
    return _watts(values[0]) is not None, _watts(values[1]) is not None


def _module_power_offered(handle: Any) -> bool:
    field = (pynvml.NVML_FI_DEV_POWER_INSTANT, _MODULE_SCOPE)
    values = asked(pynvml.nvmlDeviceGetFieldValues, handle, [field])
    return values is not None and _watts(values[0]) is not None


def _watts(value: Any) -> float | None:
    return value.value.uiVal * 1e-3 if value.nvmlReturn == pynvml.NVML_SUCCESS else None


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def asked(call: Callable[..., Any], *arguments: Any) -> Any:
    """What NVML answers, or None where this board does not offer it.

    Raises:
        MeterError: anything else went wrong: a lost GPU must not look like one that lacks a sensor.
    """
    try:
        return call(*arguments)
    except (
        pynvml.NVMLError_NotSupported,
        pynvml.NVMLError_FunctionNotFound,
        pynvml.NVMLError_NoPermission,
        pynvml.NVMLError_InvalidArgument,
    ):
        return None
    except pynvml.NVMLError as error:
        raise MeterError(f"NVML: {getattr(call, '__name__', 'a call')}: {error}") from error


def text(value: str | bytes) -> str:
    """NVML's strings, whichever way this pynvml hands them out."""
    return value.decode() if isinstance(value, bytes) else value
