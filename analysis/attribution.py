"""Splits a window's joules over its requests, by rules that lose and invent nothing (docs/attribution.md).

Every rule conserves: shares + what no request is charged = the window's joules, to 1e-9 of it, in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.arrays import Floats, Ints
from analysis.power import Curve
from analysis.window import Window

RULES = ("in_flight", "tokens")


@dataclass(frozen=True)
class Attribution:
    """Joules of n requests, and of none."""

    energy_j: Floats  # (n,)
    unattributed_j: float  # drawn while no request was in flight, or with no token to charge it to

    @property
    def total_j(self) -> float:
        """Everything: the window's joules again."""
        return float(self.energy_j.sum()) + self.unattributed_j


def in_flight(start_ns: Ints, end_ns: Ints, curves: Sequence[Curve], window: Window) -> Attribution:
    """At each instant the power is split equally among the requests in flight.

    Request i has the integral over [start_i, end_i] of P(t) / N(t), where N(t) counts requests in flight.
    One sweep: N is constant between two neighbouring starts or ends, so the integral is a difference of
    cumulative sums over these stretches. O(n log n) in requests.

    Args:
        start_ns: (n,) when each was sent.
        end_ns: (n,) when each ended; not before its start.
        curves: cumulative joules of each device over the window.
        window: outside it nothing is charged.
    """
    start = np.clip(start_ns, window.start_ns, window.end_ns)
    end = np.clip(end_ns, window.start_ns, window.end_ns)
    edges = np.array([window.start_ns, window.end_ns], dtype=np.int64)
    moments = np.unique(np.concatenate((start, end, edges)))
    first, last = np.searchsorted(moments, start), np.searchsorted(moments, end)
    arrivals = np.bincount(first, minlength=moments.size) - np.bincount(last, minlength=moments.size)
    flying = np.cumsum(arrivals)[:-1]  # requests in flight between moment k and k + 1
    t_s = (moments - window.start_ns) / 1e9
    stretch_j = np.diff(np.sum([curve.at(t_s) for curve in curves], axis=0))
    busy = flying > 0
    each_j = np.where(busy, stretch_j / np.where(busy, flying, 1), 0.0)
    cumulative = np.concatenate(([0.0], np.cumsum(each_j)))
    return Attribution(cumulative[last] - cumulative[first], float(stretch_j[~busy].sum()))


def by_tokens(tokens: Floats, total_j: float) -> Attribution:
    """The window's joules in proportion to the output tokens that each request received inside it.

    Prompts are free under this rule, and time without any token is charged to the tokens of other times.

    Args:
        tokens: (n,) output tokens inside the window, not negative.
        total_j: the window's joules.
    """
    everything = float(tokens.sum())
    if everything <= 0:
        return Attribution(np.zeros(tokens.size), total_j)
    return Attribution(tokens * (total_j / everything), 0.0)
