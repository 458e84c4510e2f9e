"""NVIDIA GPUs, read through NVML (``pynvml`` of the package nvidia-ml-py)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pynvml

from server.power.meter import Device, Reading
from starwatt_errors import MeterError

COUNTER_PERIOD = 4
"""The energy counter is read in every fourth reading: a call costs 2 to 7 ms, and read too often it goes stale."""


def visible_gpus() -> list[tuple[str, str]]:
    """(UUID, name) of the GPUs that a program started here would see; empty where there is no driver.

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
        return [
            (text(pynvml.nvmlDeviceGetUUID(handle)), text(pynvml.nvmlDeviceGetName(handle)))
            for handle in visible_handles()
        ]
    except pynvml.NVMLError as error:
        raise MeterError(f"NVML: {error}") from error
    finally:
        pynvml.nvmlShutdown()


class NvmlMeter:
    """Instantaneous and average power, energy counter, temperature, clocks, utilisation, throttle reasons."""

    def __init__(self) -> None:
        try:
            pynvml.nvmlInit()
            self._handles = visible_handles()
            self._devices = [_device(handle) for handle in self._handles]
        except pynvml.NVMLError as error:
            raise MeterError(f"NVML: {error}; does nvidia-smi work?") from error
        self._first_mj: dict[str, int] = {}
        self._reads = 0

    @property
    def devices(self) -> list[Device]:
        """Every visible GPU, named by its UUID."""
        return self._devices

    def read(self) -> list[Reading]:
        """One reading of every GPU; ``energy_j`` in every fourth.

        Raises:
            MeterError: a GPU was lost or reset.
        """
        with_counter = self._reads % COUNTER_PERIOD == 0
        self._reads += 1
        return [
            self._read_one(handle, device, with_counter)
            for handle, device in zip(self._handles, self._devices, strict=True)
        ]

    def close(self) -> None:
        """Shut NVML down."""
        pynvml.nvmlShutdown()

    def _read_one(self, handle: Any, device: Device, with_counter: bool) -> Reading:
        instant, average = _power_fields(handle)
        return Reading(
            device=device,
            power_w=instant,
            power_avg_w=average
            if average is not None
            else _scaled(pynvml.nvmlDeviceGetPowerUsage, 1e-3, handle),
            energy_j=self._energy_j(handle, device) if with_counter else None,
            temperature_c=_scaled(pynvml.nvmlDeviceGetTemperature, 1.0, handle, pynvml.NVML_TEMPERATURE_GPU),
            sm_clock_mhz=_scaled(pynvml.nvmlDeviceGetClockInfo, 1.0, handle, pynvml.NVML_CLOCK_SM),
            mem_clock_mhz=_scaled(pynvml.nvmlDeviceGetClockInfo, 1.0, handle, pynvml.NVML_CLOCK_MEM),
            utilization=_utilization(handle),
            throttle=asked(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle),
        )

    def _energy_j(self, handle: Any, device: Device) -> float | None:
        counter_mj = asked(pynvml.nvmlDeviceGetTotalEnergyConsumption, handle)
        if counter_mj is None:
            return None
        return float(counter_mj - self._first_mj.setdefault(device.name, counter_mj)) * 1e-3


def visible_handles() -> list[Any]:
    """Handles in NVML's order, or of ``CUDA_VISIBLE_DEVICES`` in its own (numbers or UUIDs)."""
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    handles = []
    for part in filter(None, (piece.strip() for piece in wanted.split(","))):
        if part == "-1":  # as CUDA has it: this one and all after it are hidden
            break
        if part.isdigit():
            handles.append(pynvml.nvmlDeviceGetHandleByIndex(int(part)))
        else:
            handles.append(pynvml.nvmlDeviceGetHandleByUUID(part))
    return handles


def _device(handle: Any) -> Device:
    name = text(pynvml.nvmlDeviceGetName(handle))
    lacks = (
        "" if asked(pynvml.nvmlDeviceGetTotalEnergyConsumption, handle) is not None else "; no energy counter"
    )
    instant, _ = _power_fields(handle)
    if instant is None:
        lacks += "; no instantaneous power"
    return Device(text(pynvml.nvmlDeviceGetUUID(handle)), "gpu", "nvml", f"{name}, whole board{lacks}")


def _power_fields(handle: Any) -> tuple[float | None, float | None]:
    """(instantaneous, average) watts by field values; None where the board or driver does not offer one."""
    fields = [pynvml.NVML_FI_DEV_POWER_INSTANT, pynvml.NVML_FI_DEV_POWER_AVERAGE]
    values = asked(pynvml.nvmlDeviceGetFieldValues, handle, fields)
    if values is None:
        return None, None
    watts = [
        value.value.uiVal * 1e-3 if value.nvmlReturn == pynvml.NVML_SUCCESS else None for value in values
    ]
    return watts[0], watts[1]


def _utilization(handle: Any) -> float | None:
    rates = asked(pynvml.nvmlDeviceGetUtilizationRates, handle)
    return None if rates is None else rates.gpu / 100.0


def _scaled(call: Callable[..., Any], factor: float, *arguments: Any) -> float | None:
    value = asked(call, *arguments)
    return None if value is None else float(value) * factor


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
