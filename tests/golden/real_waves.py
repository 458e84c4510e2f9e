"""Waves of real boards, folded from recordings of an external meter that lie beside the checkout; None without them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from tests.golden.power_worlds import Floats

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "gpu_power_benchmark"
_TICKS_HZ = 2_933_500
_VOLTS, _AMPERES = 0.007568, 0.0488
_PHASES = 100


def metered(folder: Path) -> tuple[Floats, Floats]:
    """Seconds from the recording's start, and watts of the board: cable and slot together (5 kHz)."""
    raw = np.fromfile(folder / "PMD_data.bin", dtype="<u2")
    raw = raw[: raw.size // 9 * 9].reshape(-1, 9)
    ticks = np.cumsum(np.concatenate(([0], np.diff(raw[:, 0].astype(np.int64)) % 65536)))
    signed = (raw[:, 1:].view(np.int16) >> 4).astype(np.float64)
    watts = sum(signed[:, at] * _VOLTS * signed[:, at + 1] * _AMPERES for at in (0, 2, 4, 6))
    return ticks / _TICKS_HZ, np.asarray(watts, dtype=np.float64)


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
