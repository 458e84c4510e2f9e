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
from analysis.energy.moments import Moments
from analysis.energy.sampling import Updates
from analysis.energy.sensor import Sensor
from analysis.requests.inside import Window
from analysis.requests.pulse import PADDED, Pulse

MIN_EVENTS = 12
_LEAST_COHERENT = 0.35
# Over the root of the number of events: coherence that chance gives at none of the frequencies.
_NO_CHANCE = 3.9
_MOST_CERTAIN = 0.95
_HIGHEST_HZ = 100.0  # shorter than 10 ms nothing is looked for: a look is as long, and longer, on every board
RESOLVED = 0.8  # cycles of drift from which an alias can be told from steady power
_FOLLOWED = 2000.0  # cycles: more than any window of two minutes has of an alias
_EDGES = 0.45  # of a look at mean power: two cuts, each through a wave of any phase between none and twice the mean
_DOUBTED = 0.7  # of what is found of a beat: power that wanders may have looked like it
_Z95 = 1.96
_MOST_LINES = 60
_SLAB = 1 << 16  # readings that are fitted at once: a hundred columns of all would fill a memory
_MOST_OVERTONES, _SHOWN_LOOKS = 20, 16.0  # of a line: up to this multiple, and up to so many cycles a look
_STRICT = 0.9  # the coherence of moments whose overtones are those of a wave
_SAME_CYCLES = 0.5  # of a window: two lines this close are one
_ENVELOPE = 2.0  # times what edges of power ask of a line by a lower one: its share falls with frequency
_WEAKEST = 0.02  # of a swing: what is weakened more is left out
_POLLED = 3  # orders of the sawtooth that an update's age makes, where polls are slower than updates
_PERIOD_OFF = 0.002  # how well a sensor's period is known that was calibrated, relative ...
_PERIOD_OFF_SEEN = 0.00002  # ... and at least where the window's own readings show it


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
    multiple: int  # of the lowest line of its moments


def rhythm_of(
    readings: Updates, sensor: Sensor, window: Window, events: tuple[Moments, ...], total_j: float
) -> Rhythm | None:
    """Find what the load's rhythm leaves open in the integral of a sensor's readings; None where it keeps none.

    Args:
        readings: those inside the window.
        sensor: how they come about.
        window: that of the integral.
        events: sets of moments at which the load acted.
        total_j: the integral.
    """
    seconds = window.seconds
    sets = [with_overtones(coherent_lines(of.pulse(window)), of, sensor, window) for of in events]
    lines_hz = np.concatenate(sets or [np.zeros(0)])
    if not lines_hz.size:
        return None
    slowest_hz, mean_w = float(lines_hz.min()), abs(total_j) / seconds
    cut_s = min(max(sensor.update_s, readings.spacing_s), 1 / slowest_hz)
    aliases = [
        alias
        for set_hz in sets
        for hz in set_hz.tolist()
        for alias in _aliases(hz, max(round(hz / float(set_hz[0])), 1), readings, sensor, seconds)
    ]
    drifting = _told_apart([alias for alias in aliases if alias.cycles >= RESOLVED], seconds)
    drifting_j, amplitudes_w = _fitted(drifting, readings, seconds)
    standing = [alias for alias in aliases if alias.cycles < RESOLVED]
    if not standing:
        hidden_w: float | None = 0.0
    elif min(alias.line_hz for alias in standing) * sensor.window_s < 1:
        hidden_w = mean_w * min(slowest_hz * (readings.spacing_s - sensor.window_s), 1.0)
    else:
        hidden_w = _standing_w(_of_each_line(standing, seconds), drifting, amplitudes_w, mean_w)
    hidden_j = None if hidden_w is None else hidden_w * seconds
    return Rhythm(drifting_j, hidden_j, _EDGES * mean_w * cut_s)


def coherent_lines(pulse: Pulse) -> Floats:
    """Return frequencies (Hz) at which moments keep a phase through a window, ascending; empty where they keep none."""
    if pulse.moments < MIN_EVENTS:
        return np.zeros(0)
    seconds, bin_s, counts = pulse.window.seconds, pulse.bin_s, pulse.counts
    size = int(2 ** np.ceil(np.log2(PADDED * counts.size)))
    step_hz = 1 / (size * bin_s)
    first = int(np.ceil(1.5 / seconds / step_hz))
    last = int(np.ceil(min(_HIGHEST_HZ, 0.25 / bin_s) / step_hz))
    hz = step_hz * np.arange(last + 1)
    spectrum = np.abs(np.fft.rfft(counts, size)[: last + 1]) / (
        pulse.moments * np.square(np.sinc(hz * bin_s))
    )
    least = min(max(_LEAST_COHERENT, _NO_CHANCE / float(np.sqrt(pulse.moments))), _MOST_CERTAIN)
    middle = spectrum[first:last]
    peaks = first + np.flatnonzero(
        (middle > least)
        & (middle >= spectrum[first - 1 : last - 1])
        & (middle > spectrum[first + 1 : last + 1])
    )
    before, at, after = spectrum[peaks - 1], spectrum[peaks], spectrum[peaks + 1]
    beside = (before - after) / (2 * (before - 2 * at + after))
    return np.asarray(hz[peaks] + beside * step_hz, dtype=np.float64)


def with_overtones(lines_hz: Floats, events: Moments, sensor: Sensor, window: Window) -> Floats:
    """Add to lines the multiples of the lowest that lie beyond them, as far as a look still shows any of them.

    Moments are seen with a delay of some milliseconds, which hides their lines from some frequency on. Power has these
    lines all the same, and a short look weakens them little: 110 Hz in step with a sensor of 10 Hz is a percent.
    Moments that keep no strict rhythm, as dithered ones, have no more lines than they show.
    """
    if not lines_hz.size or sensor.window_s <= 0 or events.coherence(float(lines_hz[0]), window) < _STRICT:
        return lines_hz
    seconds, first_hz, squares, products = window.seconds, float(lines_hz[0]), 0.0, 0.0
    for hz in lines_hz.tolist():
        multiple = round(hz / first_hz)
        if abs(hz - multiple * first_hz) * seconds < _SAME_CYCLES:
            squares, products = squares + multiple**2, products + multiple * hz
            first_hz = products / squares
    most = min(_MOST_OVERTONES, int(_SHOWN_LOOKS / (sensor.window_s * first_hz)))
    beyond = np.arange(round(float(lines_hz[-1]) / first_hz) + 1, most + 1)
    return np.concatenate((lines_hz, first_hz * beyond))


def _aliases(
    line_hz: float, multiple: int, readings: Updates, sensor: Sensor, seconds: float
) -> list[_Alias]:
    """Say where a line shows: at several places where polls are slower than updates, whose age is a sawtooth."""
    spacing_s = readings.spacing_s
    seen = float(abs(np.sinc(line_hz * sensor.window_s)))
    slow_polls = not readings.rhythm and 0 < sensor.update_s < 0.99 * spacing_s
    nearest = -round(line_hz * sensor.update_s)
    orders = range(nearest - _POLLED, nearest + _POLLED + 1) if slow_polls else (0,)
    off = max(_PERIOD_OFF_SEEN, readings.spacing_off) if readings.rhythm else _PERIOD_OFF
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
            aliases.append(_Alias(hz, cycles, left, line_hz, multiple))
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
    t_s, power_w, count = readings.t_s, readings.power_w, len(aliases)
    if not aliases or t_s.size < 2 * count + 8:
        return 0.0, np.zeros(0)
    hz = np.array([alias.hz for alias in aliases])
    edges = np.concatenate(([0.0], (t_s[1:] + t_s[:-1]) / 2, [seconds]))
    slabs = [slice(at, at + _SLAB) for at in range(0, t_s.size, _SLAB)]
    squares, products, kept_j = (
        np.zeros((2 + 2 * count,) * 2),
        np.zeros(2 + 2 * count),
        np.zeros(2 + 2 * count),
    )
    for slab in slabs:
        design = _waves(t_s[slab], hz, seconds)
        squares += design.T @ design
        products += design.T @ power_w[slab]
        kept_j[2:] += np.diff(edges[slab.start : slab.stop + 1]) @ design[:, 2:]
    inverse = np.linalg.pinv(squares, rcond=1e-10)
    fit = inverse @ products
    noise_w2 = 0.0
    for slab in slabs:
        noise = power_w[slab] - _waves(t_s[slab], hz, seconds) @ fit
        noise_w2 += float(noise @ noise)
    variance = noise_w2 / max(t_s.size - products.size, 1)
    left_j = float(kept_j @ fit)
    error_j = float(np.sqrt((_DOUBTED * left_j) ** 2 + max(float(kept_j @ inverse @ kept_j), 0.0) * variance))
    return error_j, np.hypot(fit[2 : 2 + count], fit[2 + count :])


def _waves(t_s: Floats, hz: Floats, seconds: float) -> Floats:
    """Return a constant, a slope, and cosines and sines of each frequency at these moments, (k, 2 + 2 n)."""
    angle = 2 * np.pi * np.outer(t_s, hz)
    return np.column_stack([np.ones(t_s.size), t_s / seconds - 0.5, np.cos(angle), np.sin(angle)])


def _standing_w(standing: list[_Alias], drifting: list[_Alias], amplitudes_w: Floats, mean_w: float) -> float:
    """Bound in watts what standing aliases hide together.

    Looks that come back to a few phases may show nothing of a wave. It is taken to step by mean power at each moment of
    the load, so that its k-th line is 2 / (pi k) of that, or by more where lines that drift are higher.
    """
    lines_w = amplitudes_w / np.array([alias.left for alias in drifting[: amplitudes_w.size]])
    known_hz = np.array([alias.line_hz for alias in drifting[: amplitudes_w.size]])
    hidden_w = 0.0
    for alias in standing:
        shown_w = lines_w * np.minimum(_ENVELOPE * known_hz / alias.line_hz, 1.0)
        hidden_w += alias.left * max(2 / np.pi * mean_w / alias.multiple, float(shown_w.max(initial=0.0)))
    return hidden_w


def _of_each_line(aliases: list[_Alias], seconds: float) -> list[_Alias]:
    """Keep of each line the alias that shows most; requests and tokens name the same lines."""
    kept: list[_Alias] = []
    for candidate in sorted(aliases, key=lambda alias: (-alias.left, alias.multiple)):
        if all(abs(candidate.line_hz - other.line_hz) * seconds > _SAME_CYCLES for other in kept):
            kept.append(candidate)
    return kept
