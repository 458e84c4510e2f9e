"""Waves of real boards, folded from recordings of an external meter that lie beside the checkout; None without them."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np

from tests.golden.power_worlds import Floats

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "gpu_power_benchmark"
_TICKS_HZ = 2_933_500
_VOLTS, _AMPERES = 0.007568, 0.0488
_PHASES = 100
_BEFORE_S, _LOCAL_S = 0.05, 3600.0
"""How long before its stated start the meter's recording begins; local time of the readings minus UTC."""


def metered(folder: Path) -> tuple[Floats, Floats]:
    """Seconds from the recording's start, and watts of the board: cable and slot together (5 kHz)."""
    raw = np.fromfile(folder / "PMD_data.bin", dtype="<u2")
    raw = raw[: raw.size // 9 * 9].reshape(-1, 9)
    ticks = np.cumsum(np.concatenate(([0], np.diff(raw[:, 0].astype(np.int64)) % 65536)))
    signed = (raw[:, 1:].view(np.int16) >> 4).astype(np.float64)
    watts = sum(signed[:, at] * _VOLTS * signed[:, at + 1] * _AMPERES for at in (0, 2, 4, 6))
    return ticks / _TICKS_HZ, np.asarray(watts, dtype=np.float64)


def shown(folder: Path) -> tuple[Floats, Floats]:
    """The same of the board's own readings, on the meter's clock (theirs is an hour ahead), every poll (15 ms)."""
    with (folder / "gpudata.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file, skipinitialspace=True) if None not in row.values()]
    power = next(name for name in ("power.draw.instant [W]", "power.draw [W]") if name in rows[0])
    start_s = int((folder / "PMD_start_ts.txt").read_text()) * 1e-6 - _BEFORE_S
    local = [datetime.strptime(row["timestamp"], "%Y/%m/%d %H:%M:%S.%f").replace(tzinfo=UTC) for row in rows]
    t_s = np.array([at.timestamp() - _LOCAL_S - start_s for at in local])
    return t_s, np.array([float(row[power]) for row in rows])


def switched(folder: Path) -> Floats:
    """When the load was switched on, off, on and so on, in seconds on the meter's clock; the last is its end."""
    start_s = int((folder / "PMD_start_ts.txt").read_text()) * 1e-6 - _BEFORE_S
    marks = [int(word) * 1e-6 - start_s for word in (folder / "timestamps.csv").read_text().split()[1:]]
    return np.unique(marks)  # the end of one part is the beginning of the next, and stands there twice


@cache
def folded_a100_wave() -> Floats | None:
    """One period of a load 50 ms on and off, in a hundred equal parts, watts."""
    folder = DATA / "A100_5050"
    if not (folder / "PMD_data.bin").is_file():
        return None
    t_s, power_w = metered(folder)
    loaded = (t_s > 0.4 * t_s[-1]) & (t_s < 0.8 * t_s[-1])
    t_s, power_w = t_s[loaded], power_w[loaded] - power_w[loaded].mean()
    periods_s = np.linspace(0.095, 0.115, 2001)
    strength = [abs(np.mean(power_w * np.exp(-2j * np.pi * t_s / period_s))) for period_s in periods_s]
    part = ((t_s / periods_s[int(np.argmax(strength))]) % 1 * _PHASES).astype(np.int64)
    sums = np.bincount(part, weights=metered(folder)[1][loaded], minlength=_PHASES)
    return np.asarray(sums / np.bincount(part, minlength=_PHASES), dtype=np.float64)
