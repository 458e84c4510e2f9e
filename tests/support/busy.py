"""What a test may hold against a machine: not that it is slow or busy, but that it hangs, or says what is not so."""

from __future__ import annotations

from collections.abc import Collection

PATIENCE_S = 250.0
"""For what hangs alone, and below a test's own limit (300 s), so that a failure says what was waited for."""
ON_A_BUSY_MACHINE = frozenset(
    {
        "generator_lagged", "rate_not_reached", "window_too_short", "power_gap", "clock_uncertain", "client_cpu",
        "not_steady", "drift", "counter_disagrees", "aliased", "not_cooled", "neighbours_disturb",
    }
)  # fmt: skip
"""Reasons that are right wherever load generator, sidecar or engine had to wait for a CPU."""


def says(reasons: Collection[str], *expected: str) -> bool:
    """Whether these are the reasons: each that is expected, and no other but what a busy machine adds."""
    return set(expected) <= set(reasons) <= {*expected, *ON_A_BUSY_MACHINE}
