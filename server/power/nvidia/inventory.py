"""List the GPUs of this machine for the manifest and ``starwatt doctor``: read, never set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from server.power.nvidia.binding import pynvml
from server.power.nvidia.choice import choose
from server.power.nvidia.library import Place, asked, milli, places, text


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
    """Return the visible GPUs that answer; empty where there is no driver.

    Raises:
        NvmlError: a driver is there, but it fails, or none of its GPUs answers.
    """
    return asked(_gpus, without=[])


def driver_cuda() -> tuple[int, int] | None:
    """Return the CUDA version that the driver speaks, such as (13, 0); None without a driver, or where it does not say.

    Raises:
        NvmlError: a driver is there, but it fails.
    """
    version = asked(lambda: int(pynvml.nvmlSystemGetCudaDriverVersion_v2()), without=0)
    return None if version <= 0 else (version // 1000, version % 1000 // 10)


def silent_gpus() -> tuple[str, ...]:
    """Name the visible GPUs that do not answer beside others that do; errors as of ``gpu_inventory``."""
    return asked(lambda: choose().left_out, without=())


def hidden_gpus() -> int:
    """Count the GPUs that are here and not visible, or do not answer; errors as of ``gpu_inventory``."""
    return asked(lambda: len(places()) - len(choose().boards), without=0)


def _gpus() -> list[Gpu]:
    driver = text(pynvml.nvmlSystemGetDriverVersion())
    return [_gpu(place, driver) for place in choose().boards]


def _gpu(place: Place, driver: str) -> Gpu:
    ask = place.ask
    memory = ask(pynvml.nvmlDeviceGetMemoryInfo)
    return Gpu(
        uuid=place.uuid,
        name=place.name,
        driver=driver,
        memory_mib=None if memory is None else memory.total // 2**20,
        power_limit_w=milli(ask(pynvml.nvmlDeviceGetEnforcedPowerLimit)),
        default_power_limit_w=milli(ask(pynvml.nvmlDeviceGetPowerManagementDefaultLimit)),
        max_sm_clock_mhz=ask(pynvml.nvmlDeviceGetMaxClockInfo, pynvml.NVML_CLOCK_SM),
        max_mem_clock_mhz=ask(pynvml.nvmlDeviceGetMaxClockInfo, pynvml.NVML_CLOCK_MEM),
        ecc=_switch(ask, pynvml.nvmlDeviceGetEccMode),
        mig=_switch(ask, pynvml.nvmlDeviceGetMigMode),
        persistence=_switch(ask, pynvml.nvmlDeviceGetPersistenceMode),
    )


def _switch(ask: Callable[..., Any], call: Callable[..., Any]) -> bool | None:
    """Return the current state of a switch; NVML answers (current, pending) or the state alone."""
    state = ask(call)
    if state is None:
        return None
    return bool(state[0] if isinstance(state, list | tuple) else state)
