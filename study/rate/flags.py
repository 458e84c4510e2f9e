"""Read the flags of ``starwatt load --find-rate`` as what is looked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from configs.loads import FindRate, Slo
from loadgen.flags import LoadFlags
from loadgen.spec import LoadSpec
from starwatt_errors import UsageError
from study.rate.slo import parse_slo

_USUAL = FindRate(kind="find_rate")


def search_of(
    flags: LoadFlags,
    rates: Sequence[float],
    slo: str | None,
    share: float,
    most_qps: float,
    search_for_s: float,
) -> tuple[LoadSpec, FindRate]:
    """Return what all windows have in common, and the load that is looked for.

    ``--qps`` is the rate to begin with, ``--concurrency`` caps what is in flight, ``--duration`` is of a window.

    Raises:
        UsageError: a flag is missing or wrong.
    """
    if slo is None:
        raise UsageError("--find-rate takes the objective that is to be kept: --slo ttft=200ms,tpot=50ms")
    if len(rates) > 1:
        raise UsageError("--qps: takes one rate with --find-rate, that to begin with")
    window_s = _USUAL.window_s if flags.duration is None else flags.duration
    if not 1 <= window_s <= search_for_s:
        raise UsageError(
            f"--duration {window_s:g}: with --find-rate a window takes from 1 s up to "
            f"--search-for ({search_for_s:g} s)"
        )
    first = rates[0] if rates else None
    if first is not None and first > most_qps:
        raise UsageError(f"--qps {first:g}: the rate to begin with is at most --most-qps ({most_qps:g})")
    asked = replace(flags, qps=first or 1.0, requests=1, duration=None).spec()
    wanted = FindRate(
        kind="find_rate", slo=Slo(**{f"{name}_ms": bound_ms for name, bound_ms in parse_slo(slo).items()}),
        share=share, arrivals="constant" if flags.arrivals == "constant" else "poisson", first_qps=first,
        most_qps=most_qps, max_in_flight=flags.concurrency, window_s=window_s, search_for_s=search_for_s,
    )  # fmt: skip
    return asked, wanted
