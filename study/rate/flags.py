"""The flags of ``starwatt load --find-rate`` as what is looked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from loadgen.flags import LoadFlags
from loadgen.spec import LoadSpec
from starwatt_errors import UsageError
from study.rate.find import Wanted
from study.rate.slo import parse_slo

_LEAST_WINDOW_S = 1.0


def search_of(
    flags: LoadFlags,
    rates: Sequence[float],
    slo: str | None,
    share: float,
    most_qps: float,
    search_for_s: float,
) -> tuple[LoadSpec, Wanted]:
    """What all windows have in common, and what is looked for.

    ``--qps`` is the rate to begin with, ``--concurrency`` caps what is in flight, ``--duration`` is of a window.

    Raises:
        UsageError: a flag is missing or wrong.
    """
    if slo is None:
        raise UsageError("--find-rate takes the objective that is to be kept: --slo ttft=200ms,tpot=50ms")
    if len(rates) > 1:
        raise UsageError("--qps: takes one rate with --find-rate, that to begin with")
    window_s = 10.0 if flags.duration is None else flags.duration
    if not _LEAST_WINDOW_S <= window_s <= search_for_s:
        raise UsageError(
            f"--duration {window_s:g}: with --find-rate a window takes from {_LEAST_WINDOW_S:g} s up to "
            f"--search-for ({search_for_s:g} s)"
        )
    first = rates[0] if rates else None
    if first is not None and first > most_qps:
        raise UsageError(f"--qps {first:g}: the rate to begin with is at most --most-qps ({most_qps:g})")
    asked = replace(flags, qps=first or 1.0, concurrency=None, requests=1, duration=None).spec()
    wanted = Wanted(
        bounds_ms=parse_slo(slo),
        share=share,
        arrivals="constant" if flags.arrivals == "constant" else "poisson",
        first=first,
        highest=most_qps,
        most_in_flight=flags.concurrency,
        window_s=window_s,
        most_s=search_for_s,
    )
    return asked, wanted
