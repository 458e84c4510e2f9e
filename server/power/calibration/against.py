"""A board's gain beside a meter that is trusted: the factor and the offset that turn shown watts into true ones.

Both are watched while a load is switched on and off. Where both stand still they are compared; a straight line through
these plateaus is the gain. What it is off by from plateau to plateau says how sure that is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from server.power.calibration.response import Floats
from starwatt_errors import MeterError

_GRID_S, _MEAN_S = 0.05, 0.3
_REACH_S = 2.0  # how far the two clocks may be apart beyond what is known
_STILL, _WITHIN_S = 0.02, 0.5  # of the swing: what changes by more within half a second does not stand still
# Left out after a change (the slowest average that a board shows), and before it.
_SETTLES_S, _BEFORE_S = 1.0, 0.1
_SHORTEST_S = 0.3
_LEAST_PLATEAUS = 3
_LEAST_SWING = 1.3  # highest plateau over lowest: below, a line through them says nothing of its ends


@dataclass(frozen=True)
class Readings:
    """Power by one meter."""

    t_s: Floats  # (k,) ascending
    power_w: Floats  # (k,)

    def means(self, at_s: Floats) -> Floats:
        """Return means over a moment around each instant."""
        steps = np.diff(self.t_s) * (self.power_w[1:] + self.power_w[:-1]) / 2
        joules = np.concatenate(([0.0], np.cumsum(steps)))
        ends = (np.interp(at_s + sign * _MEAN_S / 2, self.t_s, joules) for sign in (1, -1))
        last, first = ends
        return np.asarray((last - first) / _MEAN_S, dtype=np.float64)


@dataclass(frozen=True)
class Plateau:
    """A stretch in which both meters stood still."""

    start_s: float
    seconds: float
    shown_w: float
    true_w: float


@dataclass(frozen=True)
class GainFit:
    """True watts = factor x shown + offset; half-widths are of 95 %, the factor's relative."""

    factor: float
    uncertainty: float
    offset_w: float
    offset_uncertainty_w: float
    shift_s: float  # the trusted meter's clock minus the board's, as the edges of the load show it
    plateaus: tuple[Plateau, ...]

    @property
    def at_load(self) -> float:
        """Divide true by shown power where most was drawn."""
        highest = max(self.plateaus, key=lambda plateau: plateau.shown_w)
        return highest.true_w / highest.shown_w


def fit_gain(shown: Readings, true: Readings, *, reach_s: float = _REACH_S) -> GainFit:
    """Fit the gain of the board that shows ``shown`` beside a meter; their clocks differ by at most ``reach_s``.

    Raises:
        MeterError: they do not overlap, or there are too few plateaus, or these are too much alike.
    """
    grid_s = _grid(shown, true, reach_s)
    shift_s = _shift(shown, true, grid_s, reach_s)
    shifted = Readings(np.asarray(true.t_s - shift_s, dtype=np.float64), true.power_w)
    grid_s = _grid(shown, shifted, 0.0)
    plateaus = _plateaus(grid_s, shown.means(grid_s), shifted.means(grid_s))
    if len(plateaus) < _LEAST_PLATEAUS:
        raise MeterError(
            f"both meters stood still in {len(plateaus)} stretches, and {_LEAST_PLATEAUS} are "
            "needed: readings that keep in step with the load, or another load on the board or beside it?"
        )
    highest, lowest = (end(plateau.shown_w for plateau in plateaus) for end in (max, min))
    if highest < _LEAST_SWING * lowest:
        raise MeterError(
            f"the load moved the board's power from {lowest:.0f} to {highest:.0f} W alone: too little to fit a line"
        )
    return _line(plateaus, shift_s)


def _grid(shown: Readings, true: Readings, reach_s: float) -> Floats:
    """Instants at which both were read, whatever their clocks differ by within reach."""
    kept_s = reach_s + _MEAN_S / 2
    start_s, end_s = max(shown.t_s[0], true.t_s[0]) + kept_s, min(shown.t_s[-1], true.t_s[-1]) - kept_s
    grid_s = np.asarray(np.arange(start_s, end_s, _GRID_S), dtype=np.float64)
    if grid_s.size < _LEAST_PLATEAUS * _SETTLES_S / _GRID_S:
        raise MeterError(
            "the two meters were hardly read at the same time: is the log's clock_offset_s right?"
        )
    return grid_s


def _shift(shown: Readings, true: Readings, grid_s: Floats, reach_s: float) -> float:
    """Find by how much the trusted meter's clock is ahead: the shift at which the two are most alike."""
    shifts_s = np.arange(-reach_s, reach_s + _GRID_S / 2, _GRID_S)
    ours_w = shown.means(grid_s)
    alike = [
        np.corrcoef(ours_w, true.means(np.asarray(grid_s + shift, dtype=np.float64)))[0, 1]
        for shift in shifts_s
    ]
    return float(shifts_s[int(np.nanargmax(alike))]) if np.isfinite(alike).any() else 0.0


def _plateaus(grid_s: Floats, ours_w: Floats, theirs_w: Floats) -> tuple[Plateau, ...]:
    within, after, before, shortest = (
        round(seconds / _GRID_S) for seconds in (_WITHIN_S / 2, _SETTLES_S, _BEFORE_S, _SHORTEST_S)
    )
    moves = np.zeros(grid_s.size, dtype=np.bool_)
    for power_w in (ours_w, theirs_w):
        change = np.abs(power_w[2 * within :] - power_w[: -2 * within])
        moves[within:-within] |= change > _STILL * np.ptp(power_w)
    around = np.concatenate((np.ones(before), np.ones(1 + after)))
    moves = np.convolve(moves, around)[before : before + grid_s.size] > 0
    edges = np.flatnonzero(np.diff(np.concatenate(([True], moves, [True])).astype(np.int8)))
    plateaus = []
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        if last - first >= shortest:
            inside = slice(int(first), int(last))
            seconds = float(last - first) * _GRID_S
            mean_w = float(ours_w[inside].mean()), float(theirs_w[inside].mean())
            plateaus.append(Plateau(float(grid_s[first]), seconds, *mean_w))
    return tuple(plateaus)


def _line(plateaus: tuple[Plateau, ...], shift_s: float) -> GainFit:
    shown_w = np.array([plateau.shown_w for plateau in plateaus])
    true_w = np.array([plateau.true_w for plateau in plateaus])
    design = np.column_stack([shown_w, np.ones(shown_w.size)])
    inverse = np.linalg.inv(design.T @ design)
    factor, offset_w = inverse @ (design.T @ true_w)
    off_w = true_w - design @ np.array([factor, offset_w])
    freedom = shown_w.size - 2
    halves = stdtrit(freedom, 0.975) * np.sqrt(np.diag(inverse) * float(off_w @ off_w) / freedom)
    return GainFit(
        factor=float(factor),
        uncertainty=float(halves[0] / factor),
        offset_w=float(offset_w),
        offset_uncertainty_w=float(halves[1]),
        shift_s=shift_s,
        plateaus=plateaus,
    )
