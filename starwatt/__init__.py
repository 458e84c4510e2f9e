"""starwatt as a library: what was measured as pandas frames, and the joules of any block of code.

    import starwatt

    run = starwatt.open("runs/demo")
    run.summary()

    with starwatt.measure() as measured:
        work()
    print(measured)

Errors have one root, ``StarwattError``; its kinds are ``UsageError`` (what was asked for), ``TraceError`` (a file of a
run) and ``MeterError`` (a power meter). docs/library.md shows all of it.
"""

from __future__ import annotations

from starwatt_errors import MeterError, StarwattError, TraceError, UsageError
from study.library.figure import Figure
from study.library.joules import Joules
from study.library.measure import Doubtful, Measurement, measure
from study.library.run import Run
from study.library.run import open_run as open  # noqa: A004 -- starwatt.open, as the standard library has its own

__all__ = [
    "Doubtful",
    "Figure",
    "Joules",
    "Measurement",
    "MeterError",
    "Run",
    "StarwattError",
    "TraceError",
    "UsageError",
    "measure",
    "open",
]
