"""Which meters a machine has, and opening those that a study asks for."""

from __future__ import annotations

from configs.meters import Meters
from server.power.external import ExternalMeter
from server.power.meter import Meter, Source
from server.power.modelled import ModelledMeter
from server.power.nvml import NvmlMeter, visible_gpus
from server.power.rapl import RaplMeter
from starwatt_errors import MeterError


def available_sources() -> dict[Source, str]:
    """Measuring sources that answer here, with what they found; ``modelled`` is always possible and not listed."""
    found: dict[Source, str] = {}
    gpus = visible_gpus()
    if gpus:
        found["nvml"] = ", ".join(f"{gpu.name} ({gpu.uuid})" for gpu in gpus)
    try:
        meter = RaplMeter()
    except MeterError:
        return found
    found["rapl"] = ", ".join(device.name for device in meter.devices)
    meter.close()
    return found


def choose_sources(settings: Meters) -> list[Source]:
    """``auto`` is every measuring source that answers, or ``modelled`` where none does; and the logs that are named."""
    if settings.sources != "auto":
        return list(settings.sources)
    found: list[Source] = list(available_sources()) or ["modelled"]
    return [*found, "external"] if settings.external else found


def open_meters(settings: Meters, engine_pid: int | None) -> list[Meter]:
    """Open the meters of a study.

    Raises:
        MeterError: one that was asked for by name is not there, or ``modelled`` has no process to look at.
    """
    meters: list[Meter] = []
    for source in choose_sources(settings):
        if source == "nvml":
            if not visible_gpus():
                raise MeterError("meters: nvml: no NVIDIA driver answers here")
            meters.append(NvmlMeter(settings.gpus))
        elif source == "rapl":
            meters.append(RaplMeter())
        elif source == "external":
            meters.extend(ExternalMeter(log) for log in settings.external)
        elif engine_pid is None:
            raise MeterError(
                "no power meter answers here, and an estimate from CPU time needs the server's process: "
                "name it with --pid"
            )
        else:
            meters.append(ModelledMeter(engine_pid, settings.modelled.watts_per_cpu))
    return meters
