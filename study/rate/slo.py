"""A service level objective such as ``ttft=200ms,tpot=50ms``: bounds that every good request keeps."""

from __future__ import annotations

import math
import re

from starwatt_errors import UsageError

LATENCIES = ("ttft", "tpot", "e2e")
_BOUND = re.compile(r"(?P<name>[a-z0-9]+)=(?P<number>[0-9]+(?:\.[0-9]+)?)(?P<unit>ms|s)")


def parse_slo(text: str) -> dict[str, float]:
    """The bounds in milliseconds by the name of the latency.

    Raises:
        UsageError: it is no list of bounds, or names a latency twice or one that there is not.
    """
    bounds_ms: dict[str, float] = {}
    for part in text.split(","):
        found = _BOUND.fullmatch(part.strip())
        if found is None or found["name"] not in LATENCIES:
            raise UsageError(
                f"--slo {text}: takes bounds such as ttft=200ms,tpot=50ms,e2e=2s, of {', '.join(LATENCIES)} "
                f"(given: {part.strip()!r})"
            )
        if found["name"] in bounds_ms:
            raise UsageError(f"--slo {text}: names {found['name']} twice")
        bound_ms = float(found["number"]) * (1000 if found["unit"] == "s" else 1)
        if not 0 < bound_ms < math.inf:
            raise UsageError(f"--slo {text}: {found['name']} takes a time above 0 (given: {part.strip()!r})")
        bounds_ms[found["name"]] = bound_ms
    return bounds_ms
