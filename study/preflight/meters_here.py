"""Check that the meters and devices that a study names are on this machine; meters are opened once, then closed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial

from configs.meters import ExternalLog, Meters
from configs.schema import Study
from server.power.logs.external import ExternalMeter
from server.power.meters import choose_sources, open_meters
from server.power.nvidia.inventory import gpu_inventory
from server.power.rapl import find_zones
from starwatt_errors import MeterError
from study.preflight.problems import StudyProblem, found_by


def missing_meters(study: Study) -> Iterator[StudyProblem]:
    """Find what is named and is not here; nothing where no engine is metered here."""
    if not study.measures_here:
        return
    settings = study.meter_settings
    for index, log in enumerate(settings.external):
        yield from found_by(("meters", "external", index), partial(_follow, log))
    yield from found_by(("meters",), partial(_open_and_close, settings))


def missing_devices(study: Study) -> Iterator[StudyProblem]:
    """Find devices that ``meters`` names and none of this machine's meters reads: they would be left out in silence.

    Other machines' devices are known when their meters answer: nothing is said where one of them measures.
    """
    meters = study.meter_settings
    if any(engine.meter not in (None, "local") for engine in study.remote.values()):
        return
    if not (meters.gpus or meters.gain):
        return
    gpus = [gpu.uuid for gpu in gpu_inventory()]
    every = [*gpus, *_zones(), *(log.device for log in meters.external)]
    named: list[tuple[str, int | str, str, list[str], str]] = [
        ("gpus", place, uuid, gpus, "the UUID of a GPU that is here")
        for place, uuid in enumerate(meters.gpus or ())
    ]
    named += [("gain", name, name, every, "the name of a device that is read here") for name in meters.gain]
    for field, place, name, known, what in named:
        if name not in known:
            words = f"takes {what}: {', '.join(known) or 'there is none'} (given: {name!r})"
            yield StudyProblem(("meters", field, place), words)


def _zones() -> list[str]:
    with suppress(MeterError):  # whoever names RAPL is told by the meter itself
        return [zone.name for zone in find_zones()]
    return []


def _follow(log: ExternalLog) -> None:
    with closing(ExternalMeter(log)) as meter:
        meter.read(slow=False)  # its last lines, which may be of several devices


def _open_and_close(settings: Meters) -> None:
    """Open the meters that are no logs, and close them again."""
    sources = tuple(source for source in choose_sources(settings) if source != "external")
    if not sources:
        return
    wanted = settings.model_copy(update={"sources": sources, "external": ()})
    for meter in open_meters(wanted, os.getpid()):
        meter.close()
