"""Say how fast engines are, by board and way of serving: what a study's time is reckoned with before it starts.

Every range spans what was measured or published of its kind (docs/measurements/forecast.md sets them beside it). They
are for a plan, and are never part of a result.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from configs.schema import EngineSettings
from configs.variant import BitsAndBytes, NoQuantization, Variant
from study.plan.span import NOTHING, Span


@dataclass(frozen=True)
class Hardware:
    """Describe what one engine computes on."""

    words: str
    bandwidth: Span
    """Bytes of weights read a second; ``low`` belongs to the shortest time, as everywhere here."""
    flops: Span
    """Operations a second in 16 bits."""
    on_gpu: bool


_BOARDS: tuple[tuple[str, float, float], ...] = (
    ("B300|B200|GB200", 8000, 2250),
    ("H200|GH200", 4800, 989),
    ("H100 NVL", 3900, 835),
    ("H100 PCIe", 2000, 756),
    ("H100|H800", 3350, 989),
    ("A100.*40", 1555, 312),
    ("A100|A800", 2039, 312),
    ("A30", 933, 165),
    ("A40|A6000", 696, 150),
    ("A5000", 768, 111),
    ("A10", 600, 125),
    ("L40S", 864, 362),
    ("L40|6000 Ada", 864, 181),
    ("L4", 300, 121),
    ("V100", 900, 125),
    ("T4", 320, 65),
    ("5090|PRO 6000", 1792, 420),
    ("4090", 1008, 165),
    ("3090", 936, 71),
)
"""By a part of the name: GB/s of memory, dense TFLOP/s in 16 bits (NVIDIA's data sheets); the first that fits."""
_ANY_BOARD = ("", 300, 60), ("", 8000, 2250)
_OF_BANDWIDTH = Span(0.9, 0.4)
_OF_FLOPS = Span(0.6, 0.15)
"""Shares of the data sheet that served models reach: at the shortest and at the longest time."""
_CPU_BANDWIDTH_GB_S = Span(12.0, 4.0)
_CPU_MOST_GB_S = 400.0
_CPU_GFLOP_S = {"amx_bf16": Span(1000.0, 100.0), "avx512f": Span(150.0, 25.0), "": Span(80.0, 10.0)}
"""Of one core, by the best of its units that it has."""


@dataclass(frozen=True)
class Overhead:
    """Say what a step takes beside reading weights, in ms: once, for each layer, and for each sequence in it."""

    once: Span
    a_layer: Span
    a_sequence: Span


_ON_A_BOARD = {
    "graphs": Overhead(Span(0.5, 3.0), Span(0.02, 0.12), Span(0.005, 0.06)),
    "eager": Overhead(Span(0.5, 4.0), Span(0.15, 0.8), Span(0.005, 0.06)),
    "transformers": Overhead(Span(0.5, 3.0), Span(0.12, 0.7), NOTHING),
}
_ON_A_CPU = {
    "graphs": Overhead(Span(1.0, 4.0), Span(0.2, 1.0), Span(0.1, 0.7)),
    "eager": Overhead(Span(1.0, 4.0), Span(0.2, 1.0), Span(0.1, 0.7)),
    "transformers": Overhead(Span(1.0, 5.0), Span(0.5, 3.0), NOTHING),
}
_MORE_A_LAYER = {
    ("transformers", 4): Span(0.6, 1.4),
    ("transformers", 8): Span(2.3, 6.0),
    ("vllm", 4): Span(0.05, 0.5),
    ("vllm", 8): Span(0.4, 4.0),
}
"""What bitsandbytes adds on a board, by engine and bits, ms a layer; on a CPU ``_MORE_ON_A_CPU``."""
_MORE_ON_A_CPU = Span(0.4, 2.5)


def boards_for(names: Sequence[str], settings: EngineSettings) -> Hardware:
    """Return the boards of one engine, by their names in NVML; without any, one that is not known."""
    rows = [row for name in names for row in _BOARDS if re.search(row[0], name)]
    low, high = (rows[0], rows[0]) if rows else _ANY_BOARD
    parts = settings.boards
    return Hardware(
        names[0] if rows else "a board that is not known here",
        Span(high[1] * _OF_BANDWIDTH.low, low[1] * _OF_BANDWIDTH.high) * (1e9 * parts),
        Span(high[2] * _OF_FLOPS.low, low[2] * _OF_FLOPS.high) * (1e12 * parts),
        on_gpu=True,
    )


def cpus_for(count: int | None) -> Hardware:
    """Describe so many CPUs of this machine for one engine; None: all that this process may use."""
    count = count or len(os.sched_getaffinity(0))
    bandwidth = _CPU_BANDWIDTH_GB_S * count
    units = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    return Hardware(
        f"{count} CPU{'s' if count > 1 else ''}",
        Span(min(bandwidth.low, _CPU_MOST_GB_S), min(bandwidth.high, _CPU_MOST_GB_S)) * 1e9,
        next(rate for unit, rate in _CPU_GFLOP_S.items() if unit in units) * (1e9 * count),
        on_gpu=False,
    )


def overhead(variant: Variant, settings: EngineSettings, hardware: Hardware) -> Overhead:
    """Return what a step of a variant takes beside reading weights, as it is served."""
    way = "eager" if settings.enforce_eager or variant.enforce_eager else "graphs"
    way = "transformers" if variant.engine == "transformers" else way
    base = (_ON_A_BOARD if hardware.on_gpu else _ON_A_CPU)[way]
    quantization = variant.quantization
    if not isinstance(quantization, BitsAndBytes):
        slower = NOTHING if isinstance(quantization, NoQuantization) else Span(0.0, 0.05 * base.a_layer.high)
        return Overhead(base.once, base.a_layer + slower, base.a_sequence)
    more = _MORE_A_LAYER[variant.engine, quantization.bits] if hardware.on_gpu else _MORE_ON_A_CPU
    return Overhead(base.once, base.a_layer + more, base.a_sequence)
