"""Zones of RAPL that show one and the same counter: a package's energy, once for each of its dies.

AMD's counter is a package's, and kernels that know its dies (EPYC of Zen 1 and 2, Threadripper) offer it once a die.
Intel's dies (Cascade Lake-AP) have counters of their own under names of the same form, so names alone do not tell.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from server.process.waiting import wait_until

_MOVES_S = 0.05  # a counter that is alive is renewed every millisecond
_POLL_S = 0.002
_TRIES = 5
_FAR_UJ = 10_000_000  # further apart than any two looks at one counter

ReadCounter = Callable[[], int]
"""Microjoules of one zone, as the kernel shows them."""


def same_package(name: str, other: str) -> bool:
    """Say whether two zones are dies of one package by the kernel's names (``package-0-die-1``)."""
    package, is_die, _ = name.partition("-die-")
    other_package, other_is_die, _ = other.partition("-die-")
    return bool(is_die and other_is_die) and package == other_package


def find_mirrors(names: Sequence[str], counters: Sequence[ReadCounter]) -> dict[int, int]:
    """Find, for each zone that mirrors an earlier one, the place of that one.

    A zone is a mirror where its counter, read between two readings of the other, lies between them. Dies of one
    package are believed at once; of others it is seen twice, and the counters must have moved alike in between: two
    counters that stand at one value may do so by chance.
    """
    mirrors: dict[int, int] = {}
    for place, counter in enumerate(counters):
        for first in range(place):
            if first in mirrors or not _lies_between(counters[first], counter):
                continue
            if same_package(names[first], names[place]) or _move_alike(counters[first], counter):
                mirrors[place] = first
                break
    return mirrors


def _lies_between(first: ReadCounter, second: ReadCounter) -> bool:
    """Say whether the second is found between two readings of the first; dies may be renewed a moment apart."""
    for _ in range(_TRIES):
        before_uj, between_uj, after_uj = first(), second(), first()
        if before_uj <= between_uj <= after_uj:
            return True
        if abs(between_uj - before_uj) > _FAR_UJ:
            return False
        time.sleep(_POLL_S)
    return False


def _move_alike(first: ReadCounter, second: ReadCounter) -> bool:
    """Say whether both leave the value at which they stand, and are found at one value again."""
    stood_uj = second()
    moved = wait_until(lambda: second() != stood_uj, _MOVES_S, poll_s=_POLL_S)
    return moved and _lies_between(first, second)
