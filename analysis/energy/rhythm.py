"""Power with a rhythm of its own: what looks at one phase of it, or drifts through its phases, leaves open.

A sensor that averages W of every U seconds shows the harmonic at frequency v of such power at another place, its
alias v - n / U, weakened by sinc(v W) (Oppenheim and Schafer, Discrete-Time Signal Processing, section 4.2). Over a
window the alias does not average out: what is left of it is a share of about 1 / (pi D) after D cycles of drift, and
all of it where it stands still.

The readings alone do not tell a beat from power that wanders; the load's own rhythm does. Requests sent and tokens
received at moments that keep a phase (Rayleigh's test, Mardia and Jupp 2000, section 6.3) name the frequencies at which
power may have a line, so each alias has a known place:

- where it drifts, its amplitude is fitted to the readings, and what it leaves in their integral is part of the error;
- where it stands still, nothing shows it. Looks that come back to the same phases of a wave (below 1/W) leave gaps:
  each of the load's moments may have cost as much again in a gap. Looks that leave no gap show the wave in other
  lines, and the standing one is taken to be at most as high. What is hidden above a bound makes the integral unfit to
  be believed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.arrays import Floats
from analysis.energy.sampling import Updates
from analysis.energy.sensor import Sensor

MIN_EVENTS = 12
_LEAST_COHERENT = 0.35
# Over the root of the number of events: coherence that chance gives at none of the frequencies.
_NO_CHANCE = 3.9
_MOST_CERTAIN = 0.95
_BIN_S = 0.0005
_PADDED = 4  # times the window: how finely the spectrum of events is drawn
_LARGEST = 1 << 22  # points of that spectrum: bins are wider in windows of more than ten minutes
_HIGHEST_HZ = 100.0  # shorter than 10 ms nothing is looked for: a look is as long, and longer, on every board
RESOLVED = 0.8  # cycles of drift from which an alias can be told from steady power
_FOLLOWED = 150.0  # cycles: beyond, neighbouring readings differ, and the variogram sees it
_EDGES = 0.45  # of a look at mean power: two cuts, each through a wave of any phase between none and twice the mean
_DOUBTED = 0.7  # of what is found of a beat: power that wanders may have looked like it
_Z95 = 1.96
_MOST_LINES = 60
_WEAKEST = 0.02  # of a swing: what is weakened more is left out
_POLLED = 3  # orders of the sawtooth that an update's age makes, where polls are slower than updates
_PERIOD_OFF = 0.002  # how well a sensor's period is known that was calibrated, relative ...
_PERIOD_OFF_SEEN = 0.00005  # ... and where the window's own readings show it


@dataclass(frozen=True)
class Rhythm:
    """Hold what power in step with the load's rhythm leaves open in an integral of readings."""

    drifting_j: float  # standard error from aliases that drift through the window
    hidden_j: float | None  # at most this do aliases hide that stand still; None: nothing bounds it
    edges_j: float  # standard error from the cut that the window's edges make through a wave

    @property
    def variance_j2(self) -> float:
        """Compute the integral's variance; what is hidden counts as if its bound were the end of a 95 % interval."""
        hidden_j = (self.hidden_j or 0.0) / _Z95
        return self.drifting_j**2 + hidden_j**2 + self.edges_j**2


@dataclass(frozen=True)
class _Alias:
    """Say where one line of the power shows in the readings."""

    hz: float
    cycles: float  # of drift over the window, at least
    left: float  # of the line's swing
    line_hz: float


def rhythm_of(
    readings: Updates, sensor: Sensor, seconds: float, events_s: tuple[Floats, ...], total_j: float
) -> Rhythm | None:
    """Find what the load's rhythm leaves open in the integral of a sensor's readings; None where it keeps none.

    Args:
        readings: those inside the window.
        sensor: how they come about.
        seconds: the window's length.
        events_s: sets of moments at which the load acted, in seconds from the window's start.
        total_j: the integral.
    """
    lines_hz = np.concatenate([coherent_lines(events, seconds) for events in events_s] or [np.zeros(0)])
    if not lines_hz.size:
        return None
    slowest_hz, mean_w = float(lines_hz.min()), abs(total_j) / seconds
    cut_s = min(max(sensor.update_s, readings.spacing_s), 1 / slowest_hz)
    aliases = [alias for hz in lines_hz for alias in _aliases(float(hz), readings, sensor, seconds)]
    drifting = _told_apart([alias for alias in aliases if alias.cycles >= RESOLVED], seconds)
    drifting_j, amplitudes_w = _fitted(drifting, readings, seconds)
    hidden_w: float | None = 0.0
    standing = [alias for alias in aliases if alias.cycles < RESOLVED]
    if standing and min(alias.line_hz for alias in standing) * sensor.window_s < 1:
        hidden_w = mean_w * min(slowest_hz * (readings.spacing_s - sensor.window_s), 1.0)
    elif standing:
        hidden_w = _like_the_others_w(standing, drifting, amplitudes_w)
    hidden_j = None if hidden_w is None else hidden_w * seconds
    return Rhythm(drifting_j, hidden_j, _EDGES * mean_w * cut_s)


def coherent_lines(events_s: Floats, seconds: float) -> Floats:
    """Frequencies (Hz) at which moments keep a phase through a window, ascending; empty where they keep none."""
    inside = events_s[(events_s >= 0) & (events_s < seconds)]
    if inside.size < MIN_EVENTS:
        return np.zeros(0)
    bin_s = max(_BIN_S, _PADDED * seconds / _LARGEST)
    counts = np.bincount((inside / bin_s).astype(np.int64), minlength=int(seconds / bin_s) + 1)
    size = int(2 ** np.ceil(np.log2(_PADDED * counts.size)))
    spectrum = np.abs(np.fft.rfft(counts, size)) / inside.size
    hz = np.fft.rfftfreq(size, bin_s)
    first = int(np.searchsorted(hz, 1.5 / seconds))
    last = int(np.searchsorted(hz, min(_HIGHEST_HZ, 0.4 / bin_s)))
    least = min(max(_LEAST_COHERENT, _NO_CHANCE / float(np.sqrt(inside.size))), _MOST_CERTAIN)
    middle = spectrum[first:last]
    peaks = first + np.flatnonzero(
        (middle > least)
        & (middle >= spectrum[first - 1 : last - 1])
        & (middle > spectrum[first + 1 : last + 1])
    )
    before, at, after = spectrum[peaks - 1], spectrum[peaks], spectrum[peaks + 1]
    beside = (before - after) / (2 * (before - 2 * at + after))
    return np.asarray(hz[peaks] + beside * hz[1], dtype=np.float64)


def _aliases(line_hz: float, readings: Updates, sensor: Sensor, seconds: float) -> list[_Alias]:
    """Say where a line shows: at several places where polls are slower than updates, whose age is a sawtooth."""
    spacing_s = readings.spacing_s
    seen = float(abs(np.sinc(line_hz * sensor.window_s)))
    slow_polls = not readings.rhythm and 0 < sensor.update_s < 0.99 * spacing_s
    orders = range(-_POLLED, _POLLED + 1) if slow_polls else (0,)
    off = _PERIOD_OFF_SEEN if readings.rhythm else _PERIOD_OFF
    aliases = []
    for order in orders:
        shifted_hz = line_hz + (order / sensor.update_s if slow_polls else 0.0)
        turns = round(shifted_hz * spacing_s)
        if turns == 0 and order == 0:
            continue  # the readings follow it
        left = seen * (float(abs(np.sinc(line_hz * sensor.update_s + order))) if slow_polls else 1.0)
        hz = abs(shifted_hz - turns / spacing_s)
        unsure_hz = off * (abs(order) / sensor.update_s if slow_polls else abs(turns) / spacing_s)
        cycles = max(hz - unsure_hz, 0.0) * seconds
        if left >= _WEAKEST and cycles <= _FOLLOWED:
            aliases.append(_Alias(hz, cycles, left, line_hz))
    return aliases


def _told_apart(aliases: list[_Alias], seconds: float) -> list[_Alias]:
    """Keep one alias for each place that a window can tell apart, the strongest; the slowest first: they leave most."""
    kept: list[_Alias] = []
    for candidate in sorted(aliases, key=lambda alias: (-alias.left, alias.cycles)):
        if all(abs(candidate.hz - other.hz) * seconds > RESOLVED for other in kept):
            kept.append(candidate)
    return sorted(kept, key=lambda alias: alias.cycles)[:_MOST_LINES]


def _fitted(aliases: list[_Alias], readings: Updates, seconds: float) -> tuple[float, Floats]:
    """Fit drifting aliases: the standard error that they leave in the integral (J), and the amplitude of each (W)."""
    t_s, power_w = readings.t_s, readings.power_w
    if not aliases or t_s.size < 2 * len(aliases) + 8:
        return 0.0, np.zeros(0)
    angle = 2 * np.pi * np.outer(t_s, [alias.hz for alias in aliases])
    waves = np.hstack([np.cos(angle), np.sin(angle)])
    design = np.column_stack([np.ones(t_s.size), t_s / seconds - 0.5, waves])
    inverse = np.linalg.pinv(design.T @ design, rcond=1e-10)
    fit = inverse @ (design.T @ power_w)
    noise = power_w - design @ fit
    variance = float(noise @ noise) / max(t_s.size - design.shape[1], 1)
    edges = np.concatenate(([0.0], (t_s[1:] + t_s[:-1]) / 2, [seconds]))
    kept_j = np.concatenate(([0.0, 0.0], np.diff(edges) @ waves))
    left_j = float(kept_j @ fit)
    error_j = float(np.sqrt((_DOUBTED * left_j) ** 2 + max(float(kept_j @ inverse @ kept_j), 0.0) * variance))
    count = len(aliases)
    return error_j, np.hypot(fit[2 : 2 + count], fit[2 + count :])


def _like_the_others_w(standing: list[_Alias], drifting: list[_Alias], amplitudes_w: Floats) -> float | None:
    """Bound in watts what standing aliases hide by the largest line that drifts; None where none does."""
    if not amplitudes_w.size:
        return None
    lines_w = amplitudes_w / np.array([alias.left for alias in drifting])
    return float(lines_w.max()) * max(alias.left for alias in standing)
