"""Choose the CPUs of the engine and of the load generator."""

from __future__ import annotations

import os
from dataclasses import dataclass

from configs.schema import Cpus, Study
from starwatt_errors import UsageError


@dataclass(frozen=True)
class Placement:
    """Name the CPUs of engine and load; None is all that this process may use."""

    engine: tuple[int, ...] | None
    load: tuple[int, ...] | None


def place(study: Study) -> Placement:
    """Place engine and load: ``split`` gives the load generator the last of this process's CPUs, the engine all others.

    Where there is only one, nothing can be split and both share it.

    Raises:
        UsageError: a CPU that was named is not among those that this process may use.
    """
    usable = sorted(os.sched_getaffinity(0))
    if isinstance(study.cpus, Cpus):
        for who in ("engine", "load"):
            named = getattr(study.cpus, who) or ()
            if not set(named) <= set(usable):
                raise UsageError(
                    f"cpus.{who}: {list(named)}: this process may use the CPUs {', '.join(map(str, usable))} only"
                )
        return Placement(study.cpus.engine, study.cpus.load)
    if study.cpus == "shared" or len(usable) == 1:
        return Placement(None, None)
    return Placement(tuple(usable[:-1]), (usable[-1],))
