"""The sampling error of a power integral: what a sensor did not look at.

A sensor that averages W of every U seconds is a systematic sample of power. What such a sum misses depends on how
power varies between two looks, which the variogram g(h) = mean((R[j+h] - R[j])^2) / 2 of its readings shows
(Matheron 1971; Cochran 1977, chapter 8; Gundersen and Jensen 1987). Two parts of it are told apart:

- what two neighbouring readings do not share (the nugget n): power that changes faster than U. Were it white, the
  unseen part of each period would add n (1 - W/U) U^2 of variance. Were it bursts of length L between W and U - W,
  it would be n (1 - L / (U (1 - W / 3L))) U^2, which is less: a burst is longer than the look. Readings cannot tell
  L from W^2/L with another height (the overlap of two boxes is symmetric in them), so L is not estimated: n is taken
  times ``UNSEEN``, near what bursts of a third of a period would ask for (docs/decisions/0020);
- what grows with distance (slope b a period): power that wanders. A sum of equidistant looks misses b/6 a period.

Both are taken from neighbours alone, so trends and slow changes, which a sum follows, are not mistaken for noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.arrays import Floats
from analysis.energy.sensor import Sensor

UNSEEN = 0.62
MIN_READINGS = 8
_MIN_CHANGES = 20  # of value: below, the sensor's own rhythm is not looked for
_RHYTHM_OFF = 0.1  # by how much its period may differ from the calibrated one
_ONE_SIDED = 1.5  # bound over standard error, of an error that mostly has one sign
_BETWEEN = 0.22  # with the ramp's eighth 95 % of (1 - u)^2 / 2, which is what a step at phase u between polls is off by
_HOLE = 1.8  # times the usual distance of two polls
_AT_AN_END = 3  # readings whose mean is the power at an edge
RESOLUTION_W = 0.001  # NVML's milliwatts


@dataclass(frozen=True)
class Updates:
    """A sensor's own readings, one each time that it updates, evenly spaced."""

    t_s: Floats  # (k,) the middle of what each averaged over
    power_w: Floats  # (k,)
    spacing_s: float
    placed_s: float  # how uncertain their common place in time is: they lie within this
    rhythm: bool = False  # spacing_s is what they themselves showed, not what the sensor is said to have
    spacing_off: float = 0.0  # by how much it may be wrong then, relative


@dataclass(frozen=True)
class SamplingError:
    """Variances of an integral, in J^2."""

    unseen_j2_per_s: float  # grows with the length of the window
    sensor_unseen_j2_per_s: float  # of the sensor itself, had every update of it been read
    edges_j2: float  # does not
    ends_w: float  # by how much power differs between the two edges: what a shift in time costs


def updates(t_s: Floats, power_w: Floats, sensor: Sensor) -> Updates:
    """Take one reading an update from readings polled faster or slower than the sensor updates.

    Polled faster, a reading stands there several times; the moments at which it changed give the sensor's rhythm, and
    each update then counts the same, however many polls happened to see it. Polled slower, every poll is a reading
    of some age up to a period. Of readings at one time the first counts; a single one has no distance but the sensor's.
    """
    t_s, first = np.unique(t_s, return_index=True)
    power_w = power_w[first]
    poll_s = float(np.median(np.diff(t_s))) if t_s.size > 1 else 0.0
    behind_s = sensor.lag_s + sensor.window_s / 2
    changed = np.flatnonzero(np.diff(power_w) != 0) + 1
    if sensor.update_s > 1.5 * poll_s and changed.size >= _MIN_CHANGES:
        rhythm = _rhythm(t_s[changed], sensor.update_s, poll_s)
        if rhythm is not None:
            number, start_s, period_s = rhythm
            last = int(np.ceil((t_s[-1] - start_s) / period_s))
            every = np.arange(int(np.floor((t_s[0] - start_s) / period_s)), last + 1)
            values = np.concatenate(([power_w[0]], power_w[changed]))
            seen = values[np.searchsorted(number, every, side="right")]
            # Seen half a poll late.
            shown_s = np.asarray(start_s + period_s * every - poll_s / 2, dtype=np.float64)
            # Two standard errors of a slope through changes that are each seen up to a poll late.
            off = 2 * poll_s / (float(np.ptp(t_s[changed])) * changed.size**0.5)
            return Updates(
                shown_s - behind_s, seen, period_s, poll_s + sensor.clock_s, rhythm=True, spacing_off=off
            )
    age_s = sensor.update_s / 2
    placed_s = sensor.update_s + sensor.clock_s
    return Updates(t_s - age_s - behind_s, power_w, max(poll_s, sensor.update_s), placed_s)


def _rhythm(changes_s: Floats, update_s: float, poll_s: float) -> tuple[Floats, float, float] | None:
    """(number of each change's update, time of number 0, period); None where changes keep no such rhythm."""
    number = np.concatenate(([0.0], np.cumsum(np.rint(np.diff(changes_s) / update_s))))
    for _ in range(2):
        if number[-1] < 1:
            return None
        period_s, start_s = np.polyfit(number, changes_s, 1)
        if abs(period_s / update_s - 1) > _RHYTHM_OFF:
            return None
        number = np.rint((changes_s - start_s) / period_s)
    off_s = changes_s - start_s - period_s * number
    if float(np.sqrt(np.mean(np.square(off_s)))) > 0.5 * poll_s:  # even spread over one poll gives 0.29 of it
        return None
    return number, float(start_s), float(period_s)


def variogram(power_w: Floats, distance: int) -> float:
    """Return half the mean square difference of readings that lie ``distance`` apart; 0 where there are none."""
    if power_w.size <= distance:
        return 0.0
    return float(np.mean(np.square(power_w[distance:] - power_w[:-distance])) / 2)


def sampling_error(readings: Updates, sensor: Sensor) -> SamplingError | None:
    """Estimate the error of an integral over these readings; None where they are too few to tell."""
    power_w, spacing_s = readings.power_w, readings.spacing_s
    every = 1
    # Polled slower than it updates, or not resolved: take looks that do not overlap.
    if readings.t_s.size > 1:
        every = max(1, round(spacing_s / float(np.median(np.diff(readings.t_s)))))
    power_w = power_w[::every]
    if power_w.size < MIN_READINGS:
        return None
    near, far = variogram(power_w, 1), variogram(power_w, 2)
    slope = min(max(far - near, 0.0), near)
    apart = max(1, round(sensor.window_s / spacing_s))
    within = max(sensor.window_s, spacing_s)
    ends_w = float(power_w[-_AT_AN_END:].mean() - power_w[:_AT_AN_END].mean())
    smoothed = 2 * variogram(power_w, min(apart, power_w.size // 2)) * within**2 / 12
    return SamplingError(
        unseen_j2_per_s=_unseen(near - slope, slope, sensor.window_s, spacing_s),
        sensor_unseen_j2_per_s=_unseen(near - slope, slope, sensor.window_s, min(sensor.update_s, spacing_s)),
        edges_j2=smoothed + (ends_w * readings.placed_s) ** 2 / 12,
        ends_w=ends_w,
    )


def edges_error_j(readings: Updates, sensor: Sensor, seconds: float) -> float:
    """Return the standard error that steps of power near a window's edges leave in its integral.

    A step at an edge shows as a ramp as long as a look, drawn between readings: half of what a ramp of length w takes
    from one side to the other, an eighth of step x w, lies on the wrong side. Where readings are not well placed, they
    may lie wrong by that as well. The errors of both edges have the same cause, so they add up.

    Args:
        readings: those near the window, on either side of its edges too.
        sensor: how they come about.
        seconds: the window's length; it begins at 0.
    """
    ramp_s = sensor.window_s + readings.spacing_s
    reach_s = ramp_s + readings.placed_s
    each_j = ramp_s / 8 + readings.placed_s / 12**0.5
    # Without a rhythm a step may lie anywhere between two polls, and up to half of that is on the wrong side.
    if not readings.rhythm:
        each_j += _BETWEEN * max(readings.spacing_s - sensor.window_s, 0.0)
    steps_w = 0.0
    for edge_s in (0.0, seconds):
        near = readings.power_w[np.abs(readings.t_s - edge_s) <= reach_s]
        steps_w += float(np.ptp(near)) if near.size else 0.0
    return steps_w * each_j / _ONE_SIDED


def holes_error_j(polled_s: Floats, readings: Updates, sensor: Sensor) -> float:
    """Return the standard error that missing readings leave in an integral, which goes straight over a hole.

    Power may have gone as far from that line as readings that lie so far apart differ elsewhere.

    Args:
        polled_s: when the sensor was read within the window.
        readings: those that came of it.
        sensor: how they come about.
    """
    apart_s = np.diff(np.unique(polled_s))
    if apart_s.size < MIN_READINGS - 1:
        return 0.0
    usual_s = max(float(np.median(apart_s)), sensor.update_s)
    holes_s = apart_s[apart_s > _HOLE * usual_s]
    variance = 0.0
    for hole_s in holes_s.tolist():
        distance = min(max(1, round(hole_s / readings.spacing_s)), readings.power_w.size // 2)
        variance += 2 * variogram(readings.power_w, distance) * (hole_s - usual_s) ** 2
    return float(np.sqrt(variance))


def _unseen(nugget: float, slope: float, window_s: float, spacing_s: float) -> float:
    """J^2 a second that looks of ``window_s`` every ``spacing_s`` miss."""
    if spacing_s <= window_s:
        return 0.0
    return (1 - window_s / spacing_s) * (UNSEEN * nugget + slope / 6) * spacing_s
