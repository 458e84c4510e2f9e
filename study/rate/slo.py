"""Read a service level objective such as ``ttft=200ms,tpot=50ms``: bounds that every good request keeps."""

from __future__ import annotations

from configs.files.strict import LONGEST_S
from configs.loads import milliseconds
from starwatt_errors import UsageError

LATENCIES = ("ttft", "tpot", "e2e")


def parse_slo(text: str) -> dict[str, float]:
    """Return the bounds in milliseconds by the name of the latency.

    Raises:
        UsageError: it is no list of bounds, or names a latency twice or one that there is not.
    """
    bounds_ms: dict[str, float] = {}
    for part in text.split(","):
        name, _, time = part.strip().partition("=")
        bound_ms = milliseconds(time)
        if bound_ms is None or name not in LATENCIES:
            bare = name in LATENCIES and milliseconds(f"{time}ms") is not None
            unit = f", which lacks its unit: {name}={time}ms, or {name}={time}s" if bare else ""
            raise UsageError(
                f"--slo {text}: takes bounds such as ttft=200ms,tpot=50ms,e2e=2s, of {', '.join(LATENCIES)} "
                f"(given: {part.strip()!r}{unit})"
            )
        if name in bounds_ms:
            raise UsageError(f"--slo {text}: names {name} twice")
        if not 0 < bound_ms <= LONGEST_S * 1000:
            raise UsageError(
                f"--slo {text}: {name} takes a time above 0, of {LONGEST_S} s at most (given: {part.strip()!r})"
            )
        bounds_ms[name] = bound_ms
    return bounds_ms
