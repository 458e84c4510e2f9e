"""Find what readings say of their power sensor: how often it updates, what it averages over, how late it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MIN_CHANGES = 8
_MIN_POINTS = 12
_IRREGULAR = 0.25  # of a period: updates further off than this are not of one rhythm
_LEAST_SWING = 0.05  # of power: a smaller step drowns in noise


@dataclass(frozen=True)
class Found:
    """A figure, or why there is none."""

    value: float | None
    reason: str | None = None


def update_period(t_s: Floats, shown: Floats) -> Found:
    """Return the seconds between updates, from readings polled much faster than they change.

    A reading need not change at every update, so gaps between changes are multiples of the period.
    """
    changes = t_s[1:][np.diff(shown) != 0]
    if changes.size < MIN_CHANGES:
        return Found(
            None, "it did not change often enough while it was watched: a load that varies would show it"
        )
    gaps = np.diff(changes)
    shortest = float(np.percentile(gaps, 10))
    near = gaps[gaps < 1.5 * shortest]
    period = float(np.median(near))
    for _ in range(3):
        number = np.maximum(np.rint(gaps / period), 1)
        period = float(gaps.sum() / number.sum())
    off = np.abs(gaps - np.maximum(np.rint(gaps / period), 1) * period)
    if float(np.percentile(off, 90)) > _IRREGULAR * period:
        return Found(None, "it changes at no regular period")
    return Found(period)


@dataclass(frozen=True)
class Response:
    """Say how a sensor answers a step of power: a ramp of ``window_s`` that begins ``lag_s`` late."""

    window_s: Found
    lag_s: Found


def response(t_s: Floats, shown: Floats, steps_s: Sequence[float], update_s: float) -> Response:
    """Find averaging window and lag, from moments at which a load was switched on or off.

    The mean over W seconds answers a step s with (t - lag - s) / W, held between 0 and 1; updates show it at moments
    that come at all phases once there are enough steps. Both are fitted to all of them by least squares.

    Args:
        t_s: when each reading was taken (n,).
        shown: the readings (n,), in any unit of power.
        steps_s: when the load was switched, on and off in turn.
        update_s: how often the sensor renews its reading.
    """
    points = [_points(t_s, shown, begin, end, update_s) for begin, end in pairwise(steps_s)]
    kept = [pair for pair in points if pair is not None]
    delay_s = np.concatenate([pair[0] for pair in kept]) if kept else np.zeros(0)
    share = np.concatenate([pair[1] for pair in kept]) if kept else np.zeros(0)
    if delay_s.size < _MIN_POINTS:
        nothing = Found(None, "too few steps of the load were seen")
        return Response(nothing, nothing)
    windows = np.geomspace(0.002, 2.5, 140)
    lags = np.linspace(0.0, 0.5, 126)
    for _ in range(2):
        window_s, lag_s = _best(delay_s, share, windows, lags)
        windows = np.linspace(0.93 * window_s, 1.07 * window_s, 29)
        lags = np.linspace(max(lag_s - 0.005, 0.0), lag_s + 0.005, 21)
    return Response(Found(window_s), Found(lag_s))


def _points(
    t_s: Floats, shown: Floats, begin_s: float, end_s: float, update_s: float
) -> tuple[Floats, Floats] | None:
    """(delay, share of the step) of every update between two switches, those on either side of the change too."""
    before = shown[np.searchsorted(t_s, begin_s, side="right") - 1]
    inside = (t_s > begin_s) & (t_s <= end_s)
    if not inside.any():
        return None
    after = shown[inside][-1]
    if abs(after - before) < _LEAST_SWING * max(abs(after), abs(before)):
        return None
    times, values = t_s[inside], shown[inside]
    changed = np.diff(values, prepend=before) != 0
    delay = times[changed] - begin_s
    share = (values[changed] - before) / (after - before)
    if not delay.size:
        return None
    first, last = delay[0] - update_s, delay[-1] + update_s
    return np.concatenate(([first], delay, [last])), np.concatenate(([0.0], share, [1.0]))


def _best(delay_s: Floats, share: Floats, windows: Floats, lags: Floats) -> tuple[float, float]:
    ramp = (delay_s[None, None, :] - lags[None, :, None]) / windows[:, None, None]
    off = np.square(np.clip(ramp, 0.0, 1.0) - share[None, None, :]).sum(axis=2)
    at = np.unravel_index(int(np.argmin(off)), off.shape)
    return float(windows[at[0]]), float(lags[at[1]])
