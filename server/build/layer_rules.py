"""Say which layers a rule by position removes, and whether a model has so many: known without its weights."""

from __future__ import annotations

from configs.variant import Prune
from starwatt_errors import BuildError


def check_enough(number: int, count: int) -> None:
    """Raise BuildError where a model of ``count`` layers would keep none."""
    if number >= count:
        raise BuildError(f"cannot remove {number} of {count} layers: at least one must be left")


def check_prune(prune: Prune, count: int) -> None:
    """Raise BuildError where a model of ``count`` layers cannot be pruned so."""
    chosen = prune.block_influence or prune.angular_distance
    if chosen is not None:
        check_enough(chosen, count)
    else:
        named_layers(prune, count)


def named_layers(prune: Prune, count: int) -> list[int]:
    """Return the layers that a rule by position removes of ``count``, sorted.

    Raises:
        BuildError: there are not so many, or none would be left.
    """
    if prune.layers is not None:
        beyond = [index for index in prune.layers if index >= count]
        if beyond:
            raise BuildError(f"prune.layers: there is no layer {beyond[0]}: the model has 0 to {count - 1}")
        check_enough(len(prune.layers), count)
        return sorted(prune.layers)
    if prune.every is not None:
        removed = list(range(prune.every - 1, count, prune.every))
        if not removed:
            raise BuildError(f"prune.every: the model has {count} layers: it has no {prune.every}-th")
        return removed
    number = next(asked for asked in (prune.last, prune.first, prune.middle) if asked is not None)
    check_enough(number, count)
    start = count - number if prune.last else 0 if prune.first else (count - number) // 2
    return list(range(start, start + number))
