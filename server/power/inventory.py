"""What the GPUs of this machine are, for the manifest and ``starwatt doctor``: read, never set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pynvml

from server.power.nvml import asked, text, visible_handles
from starwatt_errors import MeterError


@dataclass(frozen=True)
class Gpu:
    """One board; None is what it does not say."""

    uuid: str
    name: str
    driver: str
    memory_mib: int | None
    power_limit_w: float | None
    default_power_limit_w: float | None
    max_sm_clock_mhz: int | None
    max_mem_clock_mhz: int | None
    ecc: bool | None
    mig: bool | None
    persistence: bool | None


def gpu_inventory() -> list[Gpu]:
    """The visible GPUs; empty where no driver answers.

    Raises:
        MeterError: a driver is there, but a GPU fails.
    """
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        driver = text(pynvml.nvmlSystemGetDriverVersion())
        return [_gpu(handle, driver) for handle in visible_handles()]
    except pynvml.NVMLError as error:
        raise MeterError(f"NVML: {error}") from error
    finally:
        pynvml.nvmlShutdown()


def _gpu(handle: Any, driver: str) -> Gpu:
    memory = asked(pynvml.nvmlDeviceGetMemoryInfo, handle)
    limit_mw = asked(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle)
    default_mw = asked(pynvml.nvmlDeviceGetPowerManagementDefaultLimit, handle)
    return Gpu(
        uuid=text(pynvml.nvmlDeviceGetUUID(handle)),
        name=text(pynvml.nvmlDeviceGetName(handle)),
        driver=driver,
        memory_mib=None if memory is None else memory.total // 2**20,
        power_limit_w=None if limit_mw is None else limit_mw * 1e-3,
        default_power_limit_w=None if default_mw is None else default_mw * 1e-3,
        max_sm_clock_mhz=asked(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_SM),
        max_mem_clock_mhz=asked(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_MEM),
        ecc=_switch(pynvml.nvmlDeviceGetEccMode, handle),
        mig=_switch(pynvml.nvmlDeviceGetMigMode, handle),
        persistence=_switch(pynvml.nvmlDeviceGetPersistenceMode, handle),
    )


def _switch(call: Callable[..., Any], handle: Any) -> bool | None:
    """The current state of a switch; NVML answers (current, pending) or the state alone."""
    state = asked(call, handle)
    if state is None:
        return None
    return bool(state[0] if isinstance(state, list | tuple) else state)
