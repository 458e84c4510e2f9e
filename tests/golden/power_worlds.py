"""Boards whose power is known at every instant, in virtual time: the loads that sensors are tried on.

A world is piecewise constant power; its joules over any stretch are summed here and nowhere else. Drawing one and
asking it costs well below a millisecond, so that statistics over thousands of worlds are cheap.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

IDLE_W, DECODE_W, BURST_W = 70.0, 350.0, 600.0
BURST_S, BURST_GAP_S = 0.040, 0.160  # the mean gap; power is that of a burst a fifth of the time


@dataclass(frozen=True)
class PowerWorld:
    """Power over time; outside its edges the first and the last power go on.

    ``event_s`` are moments at which the load was seen to act from outside, as a request trace has them.
    """

    edges_s: Floats  # (n + 1,) ascending
    power_w: Floats  # (n,)
    event_s: Floats = field(default_factory=lambda: np.zeros(0))
    _cumulative_j: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        joules = np.concatenate(([0.0], np.cumsum(self.power_w * np.diff(self.edges_s))))
        object.__setattr__(self, "_cumulative_j", joules)

    def used_j(self, t_s: Floats) -> Floats:
        """Joules from the first edge to each of ``t_s``; negative before it."""
        inside = np.interp(t_s, self.edges_s, self._cumulative_j)
        before = np.minimum(t_s - self.edges_s[0], 0.0) * self.power_w[0]
        after = np.maximum(t_s - self.edges_s[-1], 0.0) * self.power_w[-1]
        return np.asarray(inside + before + after, dtype=np.float64)

    def energy_j(self, start_s: float, end_s: float) -> float:
        """The truth of a window."""
        first, last = self.used_j(np.array([start_s, end_s]))
        return float(last - first)


def steady(length_s: float, power_w: float = DECODE_W) -> PowerWorld:
    """The same power throughout, with two seconds of it on either side and idle around that."""
    edges = np.array([-12.0, -2.0, length_s + 2.0, length_s + 12.0])
    return PowerWorld(edges, np.array([IDLE_W, power_w, IDLE_W]))


def bursts(
    rng: np.random.Generator,
    length_s: float,
    *,
    burst_s: float = BURST_S,
    gap_s: float = BURST_GAP_S,
    power_w: float = BURST_W,
) -> PowerWorld:
    """Decoding at 350 W; prompts that enter at random (exponential gaps) raise it to ``power_w`` for ``burst_s``."""
    count = int((length_s + 6.0) / (burst_s + gap_s) * 1.3) + 30
    gaps = rng.exponential(gap_s, count)
    starts = -3.0 + np.cumsum(gaps + burst_s) - burst_s
    starts = starts[starts < length_s + 3.0]
    edges = np.empty(2 * starts.size + 1)
    edges[0], edges[1::2], edges[2::2] = -3.0, starts, starts + burst_s
    edges = np.append(edges, edges[-1] + gap_s)
    power = np.full(edges.size - 1, DECODE_W)
    power[1::2] = power_w
    return PowerWorld(edges, power, starts + rng.uniform(0.0005, 0.003, starts.size))


def waves(
    rng: np.random.Generator, length_s: float, *, scale_s: float = 2.0, swing_w: float = 60.0
) -> PowerWorld:
    """Power that wanders over seconds, as a batch that fills and empties: a random walk pulled to 400 W."""
    step_s = 0.02
    count = int((length_s + 6.0) / step_s)
    keep = np.exp(-step_s / scale_s)
    noise = rng.normal(0.0, swing_w * np.sqrt(1 - keep * keep), count)
    power = np.empty(count)
    level = rng.normal(0.0, swing_w)
    for at in range(count):
        level = keep * level + noise[at]
        power[at] = 400.0 + level
    edges = np.asarray(-3.0 + step_s * np.arange(count + 1), dtype=np.float64)
    return PowerWorld(
        edges, np.maximum(power, IDLE_W), np.sort(rng.uniform(-3.0, length_s + 3.0, 6 * count // 50))
    )


def periodic(rng: np.random.Generator, length_s: float, period_s: float, *, duty: float = 0.5) -> PowerWorld:
    """A square wave between decode and burst power: requests sent at a constant rate, a burst of prefill each."""
    first = rng.uniform(0.0, period_s)
    starts = -3.0 + first + period_s * np.arange(int((length_s + 6.0) / period_s))
    edges = np.empty(2 * starts.size + 1)
    edges[0], edges[1::2], edges[2::2] = -4.0, starts, starts + duty * period_s
    edges = np.append(edges, edges[-1] + period_s)
    power = np.full(edges.size - 1, DECODE_W)
    power[1::2] = BURST_W
    return PowerWorld(edges, power, starts + rng.uniform(0.0005, 0.003, starts.size))


def served(arrivals_s: Floats, offset_s: Floats, power_w: Floats, idle_w: float) -> PowerWorld:
    """Requests one after the other: ``power_w[k]`` from ``offset_s[k]`` after a request's turn, up to the last offset.

    ``arrivals_s`` are ascending; a request waits for the one before it. Events are the ends of answers.
    """
    lasts_s = float(offset_s[-1])
    turns = np.empty(arrivals_s.size)
    free_s = -np.inf
    for number, arrival_s in enumerate(arrivals_s):
        turns[number] = max(float(arrival_s), free_s)
        free_s = turns[number] + lasts_s
    edges = (turns[:, None] + offset_s[None, :]).ravel()
    power = np.tile(np.append(power_w, idle_w), turns.size)[:-1]
    edges, power = np.concatenate(([edges[0] - 1.0], edges)), np.concatenate(([idle_w], power))
    return PowerWorld(edges, power, turns + lasts_s)


def repeated(
    rng: np.random.Generator, length_s: float, rate_hz: float, offset_s: Floats, power_w: Floats
) -> PowerWorld:
    """A wave at a constant rate and any phase: ``power_w[k]`` from ``offset_s[k]`` after each start, in seconds."""
    period_s = 1 / rate_hz
    shown = offset_s < 0.999 * period_s
    offsets, watts = offset_s[shown], power_w[shown]
    count = int((length_s + 8.0) / period_s) + 2
    starts = -4.0 + period_s * (rng.uniform() + np.arange(count))
    edges = (starts[:, None] + offsets[None, :]).ravel()
    edges = np.concatenate(([edges[0] - 1.0], edges, [starts[-1] + period_s]))
    power = np.concatenate((watts[-1:], np.tile(watts, count)))
    return PowerWorld(edges, power, starts + rng.uniform(0.0005, 0.003, count))
