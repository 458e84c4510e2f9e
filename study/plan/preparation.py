"""Find what is downloaded and built before a study measures: how large it is, and how long it takes."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from configs.architecture import Memorised
from configs.loader import load_architecture, load_variant
from configs.schema import Study
from server.build.foresight import Known, Step, steps
from server.build.store import Store
from study.plan.span import Span

_FETCHES = Span(5e8, 5e6)
"""Bytes a second from the hub."""
_PROCESS_S = Span(4.0, 40.0)
"""A build's own process: torch and the quantiser are imported anew."""
_A_BILLION_S = {
    "make": (Span(5.0, 60.0), Span(8.0, 60.0)),
    "prune": (Span(1.0, 15.0), Span(2.0, 20.0)),
    "bitsandbytes": (Span(1.0, 20.0), Span(3.0, 80.0)),
    "fp8": (Span(1.0, 20.0), Span(2.0, 40.0)),
    "int4-w4a16": (Span(1.0, 20.0), Span(2.0, 40.0)),
    "int8-w8a16": (Span(1.0, 20.0), Span(2.0, 40.0)),
    "int8-w8a8": (Span(3.0, 80.0), Span(8.0, 300.0)),
    "awq": (Span(15.0, 200.0), Span(20.0, 1500.0)),
    "gptq": (Span(15.0, 200.0), Span(20.0, 1500.0)),
}
"""Seconds a billion parameters, beside a board and on CPUs; on two cores 25 to make and 50 by bitsandbytes."""
_A_STEP_S = Span(0.1, 0.8)
"""Of fitting the tiny model to its tasks: about 0.5 on two free cores."""


@dataclass(frozen=True)
class Preparation:
    """Say what is missing before a study measures."""

    steps: tuple[Step, ...]
    seconds: Span
    disk_bytes: float
    """Of those whose size is known."""
    free_bytes: float
    """Where checkpoints are kept."""

    @property
    def unknown(self) -> tuple[Step, ...]:
        """Return the steps whose size is not known yet."""
        return tuple(step for step in self.steps if step.size_bytes is None)


def preparation(study: Study, models: Mapping[str, Known], store: Store, *, on_gpu: bool) -> Preparation:
    """Find what is missing of the models and variants that our own engines serve, each checkpoint once."""
    missing: dict[tuple[object, ...], Step] = {}
    for known in models.values():
        for name in study.own_variants:
            variant = load_variant(name, study.defined)
            for step in steps(known, variant, store):
                weights = (variant.prune, variant.quantization) if step.kind == "quantise" else ()
                pruned = (variant.prune,) if step.kind == "prune" else ()
                missing.setdefault((step.kind, known.model, *pruned, *weights), step)
    every = tuple(missing.values())
    return Preparation(
        every,
        Span.sum(_seconds(step, on_gpu=on_gpu) for step in every),
        sum(step.size_bytes or 0.0 for step in every),
        float(shutil.disk_usage(existing_part(store.root)).free),
    )


def sizes(steps: Iterable[Step]) -> str:
    """Name the steps, each with its size."""
    return ", ".join(
        f"{step.about} ({'size not known' if step.size_bytes is None else size_words(step.size_bytes)})"
        for step in steps
    )


def size_words(size: float) -> str:
    """Write a size in MB or GB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(size / 1e6, 0.1):.1f} MB"


def _seconds(step: Step, *, on_gpu: bool) -> Span:
    if step.kind == "fetch":
        size = step.size_bytes or 4 * (step.parameters or 7e9)
        return Span(size / _FETCHES.low, size / _FETCHES.high)
    architecture = load_architecture(step.about) if step.kind == "make" else None
    if architecture is not None and isinstance(architecture.weights, Memorised):
        return _PROCESS_S + _A_STEP_S * architecture.weights.steps
    rate = _A_BILLION_S[step.format if step.kind == "quantise" else step.kind][0 if on_gpu else 1]
    return _PROCESS_S + rate * ((step.parameters or 7e9) / 1e9)


def existing_part(folder: Path) -> Path:
    """Return the deepest part of a path that exists."""
    return folder if folder.exists() else existing_part(folder.absolute().parent)
