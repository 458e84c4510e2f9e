"""Whether the meters that a study names are on this machine: each is opened once, and closed again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

from configs.meters import ExternalLog, Meters
from configs.schema import Study
from server.power.external import ExternalMeter
from server.power.meters import choose_sources, open_meters
from study.preflight.problems import Problem, found_by


def missing_meters(study: Study) -> Iterator[Problem]:
    """What is named and is not here; nothing where no engine is metered here."""
    metered_here = study.own_variants or any(named.meter == "local" for named in study.remote.values())
    if not metered_here:
        return
    settings = study.meter_settings
    for index, log in enumerate(settings.external):
        yield from found_by(("meters", "external", index), partial(_follow, log))
    yield from found_by(("meters",), partial(_open_and_close, settings))


def _follow(log: ExternalLog) -> None:
    ExternalMeter(log).close()


def _open_and_close(settings: Meters) -> None:
    """The meters that are no logs."""
    sources = tuple(source for source in choose_sources(settings) if source != "external")
    if not sources:
        return
    wanted = settings.model_copy(update={"sources": sources, "external": ()})
    for meter in open_meters(wanted, os.getpid()):
        meter.close()
