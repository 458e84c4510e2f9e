"""Splits a window's joules over its requests, by rules that lose and invent nothing (docs/attribution.md).

Every rule conserves: shares + what no request is charged = the window's joules, to 1e-9 of it, in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.arrays import Counts, Floats, Ints
from analysis.energy.integral import Curve
from analysis.requests.window import Window

RULES = ("in_flight", "tokens", "phase")


@dataclass(frozen=True)
class Attribution:
    """Joules of n requests, and of none."""

    energy_j: Floats  # (n,)
    unattributed_j: float  # drawn while no request was in flight, or with no token to charge it to

    @property
    def total_j(self) -> float:
        """Sum everything: the window's joules again."""
        return float(self.energy_j.sum()) + self.unattributed_j


@dataclass(frozen=True)
class Flights:
    """Requests in flight over a window: between two neighbouring starts or ends their number is constant."""

    moments_s: Floats  # (k,) all starts and ends and the window's edges, once each, ascending
    flying: Counts  # (k - 1,) how many are in flight from moment i to i + 1
    first: Counts  # (n,) the moment at which each request starts
    last: Counts  # (n,) ... and ends

    def idle_j(self, curves: Sequence[Curve], edges_s: Floats) -> Floats:
        """Return joules drawn while none was in flight between each two neighbours of ``edges_s`` (j + 1,): (j,)."""
        idle = np.diff(joules_at(self.moments_s, curves))
        idle[self.flying > 0] = 0.0
        until = np.interp(edges_s, self.moments_s, _running(idle))
        return np.asarray(np.diff(until), dtype=np.float64)


def flights(start_ns: Ints, end_ns: Ints, window: Window) -> Flights:
    """Find who is in flight when. One sort of 2n moments.

    Args:
        start_ns: (n,) when each was sent.
        end_ns: (n,) when each ended; not before its start.
        window: outside it nothing counts.
    """
    start = np.clip(start_ns, window.start_ns, window.end_ns)
    end = np.clip(end_ns, window.start_ns, window.end_ns)
    edges = np.array([window.start_ns, window.end_ns], dtype=np.int64)
    moments = np.concatenate((start, end, edges))
    moments.sort()  # np.unique is many times slower
    moments = moments[np.concatenate(([True], moments[1:] > moments[:-1]))]
    first, last = (np.searchsorted(moments, at).astype(np.int32) for at in (start, end))
    del start, end
    flying = np.bincount(first, minlength=moments.size)
    flying -= np.bincount(last, minlength=moments.size)
    np.cumsum(flying, out=flying)
    return Flights((moments - window.start_ns) / 1e9, flying[:-1].astype(np.int32), first, last)


def in_flight(lives: Flights, curves: Sequence[Curve]) -> Attribution:
    """Split the power at each instant equally among the requests in flight.

    Request i has the integral over [start_i, end_i] of P(t) / N(t), where N(t) counts requests in flight: a difference
    of cumulative sums over the stretches of constant N.

    Args:
        lives: of n requests.
        curves: cumulative joules of each device over the same window.
    """
    stretch_j = np.diff(joules_at(lives.moments_s, curves))
    busy = lives.flying > 0
    unattributed_j = float(stretch_j[~busy].sum())
    stretch_j[~busy] = 0.0
    np.divide(stretch_j, lives.flying, out=stretch_j, where=busy)
    cumulative = _running(stretch_j)
    return Attribution(cumulative[lives.last] - cumulative[lives.first], unattributed_j)


def joules_at(t_s: Floats, curves: Sequence[Curve]) -> Floats:
    """Return cumulative joules of all devices at each of ``t_s``."""
    total = curves[0].at(t_s)
    for curve in curves[1:]:
        total += curve.at(t_s)
    return total


def _running(steps: Floats) -> Floats:
    """Sums of the first 0, 1, ... of ``steps``, (k + 1,)."""
    total = np.zeros(steps.size + 1)
    np.cumsum(steps, out=total[1:])
    return total


def by_tokens(tokens: Floats, total_j: float) -> Attribution:
    """Return the window's joules in proportion to the output tokens that each request received inside it.

    Prompts are free under this rule, and time without any token is charged to the tokens of other times.

    Args:
        tokens: (n,) output tokens inside the window, not negative.
        total_j: the window's joules.
    """
    everything = float(tokens.sum())
    if everything <= 0:
        return Attribution(np.zeros(tokens.size), total_j)
    return Attribution(tokens * (total_j / everything), 0.0)
