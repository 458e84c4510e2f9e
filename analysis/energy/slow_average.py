"""A board's slow average beside its instantaneous readings: Hopper and Ada offer both.

The average (over one second, as was measured: arXiv 2312.02741) leaves no time out where its window is longer than its
update period; the instantaneous reading may look at a quarter of it. But what calls itself an average may be the
same short look: only a calibration that applied a load and found the window makes it the better witness.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.energy.aliasing import Averages
from analysis.energy.integral import Integral, PowerSeries, integral
from analysis.energy.sensor import Sensors
from analysis.requests.window import Window


@dataclass(frozen=True)
class Slow:
    """The integral of the average over a window."""

    integral: Integral
    sees_everything: bool  # calibration found that it leaves no time out

    def beside(self, fast: Integral) -> Averages:
        """Give both, for the look at aliasing."""
        return Averages(
            slow_j=self.integral.curve.total_j,
            fast_j=fast.curve.total_j,
            error_j=float(np.hypot(self.integral.error_j or 0.0, fast.error_j or 0.0)),
            sees_everything=self.sees_everything,
        )

    def instead_of(self, fast: Integral, *, aliased: bool) -> Integral | None:
        """Return what is to be used in place of the instantaneous readings' integral; None where that is the surer one.

        The average knows the total, the readings how it is spread over the window, unless they were in step with it.
        """
        if not self.sees_everything or self.integral.error_j is None:
            return None
        if aliased or fast.curve.total_j <= 0:
            return self.integral
        if fast.error_j is not None and fast.error_j <= self.integral.error_j:
            return None
        return replace(self.integral, curve=fast.curve.scaled_to(self.integral.curve.total_j))


def slow_average(series: PowerSeries, window: Window, sensors: Sensors) -> Slow | None:
    """Return the integral of ``series``' average; None where the board offers none beside its instantaneous reading."""
    if series.source != "nvml" or not series.average_t_ns.size:
        return None
    slow = replace(series, power_t_ns=series.average_t_ns, power_w=series.average_w, averaged=True)
    sensor = sensors.sensor(series.device, series.source, averaged=True, reading_s=series.reading_s)
    averaged = integral(slow, window, sensor)
    if averaged is None:
        return None
    return Slow(averaged, "window_s" not in sensor.assumed and sensor.window_s >= sensor.update_s)
