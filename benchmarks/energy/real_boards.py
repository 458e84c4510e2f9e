"""Our joules beside an external meter's on recordings of real boards, as docs/measurements/real-boards.md.

``python -m benchmarks.energy.real_boards > docs/measurements/real-boards.md``. The recordings lie beside the checkout
(shared/data/gpu_power_benchmark, from JimZeyuYang/GPU_Power_Benchmark). Of each sensor its update period is known, from
the recording of a stepped load; all else is assumed, as where the product found nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.energy.device import DeviceEnergy, device_energy
from analysis.energy.integral import PowerSeries
from analysis.energy.moments import At
from analysis.energy.sensor import Sensors
from analysis.requests.window import Window
from configs.meters import GainSettings, Meters
from server.power.calibration.against import GainFit, Readings, fit_gain
from server.power.calibration.response import update_period
from starwatt_errors import MeterError
from tests.golden.real_waves import DATA, metered, shown, switched

RECORDINGS = ("A100_TR", "3090_TR", "4090_TR", "A5000_TR", "K40m_TR", "A100_5050", "3090_5050")
_EDGE_S = 0.5  # idle on either side of the load that is in the window
_REACH_S = 1.0
_Z95 = 1.959964
_HEAD = (
    "recording", "window, s", "meter, J", "raw: off, %", "± sampling, %", "± gain, %", "holds",
    "corrected: off, %", "± sampling, %", "± gain, %", "holds", "flagged",
)  # fmt: skip
_START_NS = 1_000_000_000_000


@dataclass(frozen=True)
class Line:
    """One recording: the meter's joules, ours as the board shows them, and with its factor and offset."""

    recording: str
    seconds: float
    meter_j: float
    raw: DeviceEnergy
    corrected: DeviceEnergy | None  # None: no stepped load of this board told its gain

    def cells(self) -> list[str]:
        """A row of the table."""
        found = [self.recording, f"{self.seconds:.1f}", f"{self.meter_j:.0f}", *self._ours(self.raw)]
        found += self._ours(self.corrected) if self.corrected is not None else ["–"] * 4
        return [*found, ", ".join(self.raw.reasons) or "–"]

    def _ours(self, found: DeviceEnergy) -> list[str]:
        if found.energy_j is None or found.error_j is None:
            return ["–"] * 4
        half_j = _Z95 * found.error_j
        gain_j = float(np.hypot((found.gain.half_width or 0.0) * found.energy_j,
                                (found.gain.offset_half_w or 0.0) * self.seconds))  # fmt: skip
        off_j = abs(found.energy_j - self.meter_j)
        held = (
            "sampling"
            if off_j <= half_j
            else "with gain"
            if off_j <= float(np.hypot(half_j, gain_j))
            else "no"
        )
        shares = (f"{100 * part / self.meter_j:.2f}" for part in (half_j, gain_j))
        return [f"{100 * (found.energy_j / self.meter_j - 1):+.2f}", *shares, held]


def lines() -> list[Line]:
    """Every recording; the gain of a board is that of its stepped load (``*_TR``)."""
    gains = {name.partition("_")[0]: _gain(DATA / name) for name in RECORDINGS if name.endswith("_TR")}
    return [_line(DATA / name, gains.get(name.partition("_")[0])) for name in RECORDINGS]


def fits() -> dict[str, GainFit]:
    """The gain of every board whose stepped load was recorded."""
    found = {name: _gain(DATA / name) for name in RECORDINGS if name.endswith("_TR")}
    return {name: fit for name, fit in found.items() if fit is not None}


def _gain(folder: Path) -> GainFit | None:
    try:
        return fit_gain(Readings(*shown(folder)), Readings(*metered(folder)), reach_s=_REACH_S)
    except MeterError:
        return None


def _line(folder: Path, fit: GainFit | None) -> Line:
    t_s, power_w = shown(folder)
    true_s, true_w = metered(folder)
    marks_s = switched(folder)
    start_s, end_s = marks_s[0] - _EDGE_S, marks_s[-1] + _EDGE_S
    end_s = min(end_s, true_s[-1] - 0.01)
    inside = (true_s >= start_s) & (true_s <= end_s)
    meter_j = float(np.trapezoid(true_w[inside], true_s[inside]))
    nanoseconds = _START_NS + np.rint(t_s * 1e9).astype(np.int64)
    series = PowerSeries(
        folder.name, "gpu", "nvml", nanoseconds, nanoseconds, power_w, nanoseconds[:0], power_w[:0]
    )
    window = Window(_START_NS + round(start_s * 1e9), _START_NS + round(end_s * 1e9))
    events = tuple(At(_START_NS + np.rint(marks_s[at::2] * 1e9).astype(np.int64)) for at in (0, 1))
    calibration = {folder.name: _calibration(folder)}
    raw = device_energy(series, window, Sensors(calibration, Meters()), events)
    corrected = None
    if fit is not None:
        gain = GainSettings(
            factor=fit.factor, uncertainty=min(fit.uncertainty, 0.49), offset_w=fit.offset_w,
            offset_uncertainty_w=fit.offset_uncertainty_w,
        )  # fmt: skip
        corrected = device_energy(
            series, window, Sensors(calibration, Meters(gain={folder.name: gain})), events
        )
    return Line(folder.name, window.seconds, meter_j, raw, corrected)


def _calibration(folder: Path) -> Mapping[str, Any]:
    stepped = folder.with_name(f"{folder.name.partition('_')[0]}_TR")
    period = update_period(*shown(stepped)).value
    return {} if period is None else {"power_w": {"update_s": period}}


PAGE = """# Real boards beside an external meter

Made by `python -m benchmarks.energy.real_boards` from the raw files behind arXiv 2312.02741
(JimZeyuYang/GPU_Power_Benchmark, MIT): what nvidia-smi showed about every 15 ms, beside a meter in the cable and
the slot at 5 kHz. `*_TR`: idle, six seconds of load, idle. `*_5050`: a load of 50 ms on and off. None of these
boards is ours, and no H100 is among them.

## Factor and offset

By `fit_gain`, as `starwatt meter --calibrate --against LOG` has it: true watts = factor x shown + offset, with
half-widths of 95 %. A recording of 14 s has three plateaus, and so one degree of freedom; a calibration has seven.

{gains}

## Joules

The window is the load with half a second of idle before it and, where there is some, behind it. The joules are
those of the integral (there is no counter in these files), *raw* as the board shows them, *corrected* with its
factor and offset. Of the boards of `*_TR` these come from the same recording; of `*_5050` they come from another
one. *Holds* says which interval holds the meter's joules: that of sampling alone, or only together with the gain's.
The window and the lag of each sensor are taken to be unknown (25 of every 100 ms, no lag).

{joules}

- Raw, five of seven lie outside ±5 %: that gain alone would not have held them.
- The A100 with 50 ms on and off beats with its sensor 2.6 times in the window. Raw it is right by chance; corrected
  it is off by 6 %, and the interval that the rhythm of the load gives holds it.
- The RTX 3090 with 50 ms on and off keeps in step with its sensor. As long as nobody knows that it looks at all of
  the time, the row is invalid (`aliased`), and its joules are nevertheless within half a percent once they are
  corrected.
- MLPerf Power's `spl.txt`: the format is read (tests/server/power/test_log_formats.py); no submission's file is at
  hand here.
"""


def page() -> str:
    """The whole of docs/measurements/real-boards.md."""
    gains = []
    for name, fit in fits().items():
        factor = f"{fit.factor:.4f} ± {100 * fit.uncertainty:.2f} %"
        offset = f"{fit.offset_w:+.2f} ± {fit.offset_uncertainty_w:.2f}"
        cells = [name.partition("_")[0], str(len(fit.plateaus)), factor, offset, f"{fit.at_load:.4f}"]
        gains.append(cells)
    return PAGE.format(
        gains=_table(("board", "plateaus", "factor", "offset, W", "true over shown at load"), gains),
        joules=_table(_HEAD, [line.cells() for line in lines()]),
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def main() -> int:
    """Print the page; 1 where the recordings are not here."""
    if not here():
        print("the external meter's recordings are not here", file=sys.stderr)
        return 1
    print(page(), end="")
    return 0


def here() -> bool:
    """Whether the recordings are."""
    return all((DATA / name / "PMD_data.bin").is_file() for name in RECORDINGS)


if __name__ == "__main__":
    raise SystemExit(main())
