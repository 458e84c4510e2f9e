"""The Shapley value of a recorded schedule of steps: what each request's presence added to its joules, on average over
all orders in which requests could have joined.

v(S) is what the recorded steps would have drawn had each done the work of the requests in S alone, for as long as
that takes, at the board's power; a step without any of them draws nothing. v is a sum over steps, and so is its
Shapley value (Shapley 1953, additivity). Nothing here is shared with analysis/.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import permutations

from tests.golden.engine import Amounts, Model, Step, Work


def step_joules(model: Model, amounts: Amounts) -> float:
    """All that a step draws which does this much, idle power included; 0 for nothing."""
    if not amounts[0]:
        return 0.0
    return model.joules(amounts) + model.idle_w * model.seconds(amounts)


def exact(model: Model, step: Step) -> dict[int, float]:
    """Over all orders; only for a handful of requests."""
    orders = list(permutations(step.parts))
    return _mean_marginals(model, step.parts, orders)


def sampled(model: Model, step: Step, rng: random.Random, orders: int) -> dict[int, float]:
    """Over random orders, each with its reverse (Castro et al. 2009; antithetic: Mitchell et al. 2022).

    Requests that do the very same kind of work (decode, none of a prompt) differ by their context alone, so that
    few orders are enough for sums over many steps.
    """
    names = list(step.parts)
    drawn: list[tuple[int, ...]] = []
    for _ in range(orders // 2):
        rng.shuffle(names)
        drawn += [tuple(names), tuple(reversed(names))]
    return _mean_marginals(model, step.parts, drawn)


def of_schedule(model: Model, steps: list[Step], *, seed: int = 1, orders: int = 8) -> dict[int, float]:
    """Joules of every request over all ``steps``; they sum to what the steps drew."""
    rng = random.Random(seed)  # noqa: S311 - a simulation
    total: dict[int, float] = {}
    for step in steps:
        for name, joules in sampled(model, step, rng, orders).items():
            total[name] = total.get(name, 0.0) + joules
    return total


def _mean_marginals(
    model: Model, parts: Mapping[int, Work], orders: list[tuple[int, ...]]
) -> dict[int, float]:
    found = dict.fromkeys(parts, 0.0)
    each = {name: model.amounts(work) for name, work in parts.items()}
    for order in orders:
        there: Amounts = (0.0, 0.0, 0.0)
        before = 0.0
        for name in order:
            more = each[name]
            there = (there[0] + more[0], there[1] + more[1], there[2] + more[2])
            after = step_joules(model, there)
            found[name] += (after - before) / len(orders)
            before = after
    return found
