"""arXiv 2411.12758 beside ours: its runs read in, its totals and percentages recomputed, and what is boundary in them.

Its total is GPU + CPU of the whole shared node + 45 W for RAM. The same total of our runs (``paper_total``) is a named
view, for the sign of a comparison depends on it; it is nobody's measurement.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from starwatt_errors import TraceError

RUNS = Path(__file__).resolve().parents[2] / "configs" / "reference" / "paper_runs.csv"
_COLUMNS = ("gpu_wh", "cpu_wh", "dram_wh", "total_wh")


@dataclass(frozen=True)
class Configuration:
    """Name what was run."""

    model: str
    max_new_tokens: int
    quantisation: str
    pruned_last_layers: int

    @property
    def original(self) -> Configuration:
        """Return the same model as it was, with answers as long."""
        return Configuration(self.model, self.max_new_tokens, "none", 0)


@dataclass(frozen=True)
class PaperFigure:
    """Means over a configuration's runs, Wh, and against the same model as it was."""

    configuration: Configuration
    runs: int
    gpu_wh: float
    total_wh: float
    recomputed_wh: float  # GPU + CPU + RAM, added here
    gpu_change: float | None  # relative to the original; None for the original itself
    total_change: float | None
    total_share: float | None  # the paper's percentage: of the changed model's own total
    boundary_share: float | None  # of the change in the total, what is not the GPU's


def read_runs(path: Path = RUNS) -> dict[Configuration, np.ndarray]:
    """Return GPU, CPU, RAM and total of every run, Wh, (runs, 4) by configuration.

    Raises:
        TraceError: the file is missing, or a row cannot be read.
    """
    runs: dict[Configuration, list[list[float]]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                name = Configuration(
                    row["model"],
                    int(row["max_new_tokens"]),
                    row["quantisation"],
                    int(row["pruned_last_layers"]),
                )
                runs.setdefault(name, []).append([float(row[column]) for column in _COLUMNS])
    except (OSError, KeyError, ValueError) as error:
        raise TraceError(f"{path}: cannot be read as the paper's runs: {error}") from error
    return {name: np.array(rows) for name, rows in runs.items()}


def paper_figures(runs: Mapping[Configuration, np.ndarray]) -> list[PaperFigure]:
    """Return each configuration against the model that was neither quantised nor pruned, at the same answer length."""
    means = {name: rows.mean(axis=0) for name, rows in runs.items()}
    figures = []
    for name, mean in sorted(means.items(), key=lambda entry: _order(entry[0])):
        original = means.get(name.original)
        gpu, cpu, ram, total = (float(value) for value in mean)
        changes: tuple[float | None, ...] = (None, None, None, None)
        if original is not None and name != name.original:
            base_gpu, base_total = float(original[0]), float(original[3])
            more = total - base_total
            changes = (gpu / base_gpu - 1, total / base_total - 1, more / total, 1 - (gpu - base_gpu) / more)
        figures.append(PaperFigure(name, runs[name].shape[0], gpu, total, gpu + cpu + ram, *changes))
    return figures


def _order(name: Configuration) -> tuple[str, int, int, str]:
    return name.model, name.max_new_tokens, name.pruned_last_layers, name.quantisation


def spread(values: Iterable[float]) -> str | None:
    """Return smallest to largest in percent, or None of nothing: what a range in an abstract is."""
    known = sorted(values)
    return None if not known else f"{known[0] * 100:+.0f} to {known[-1] * 100:+.0f} %"
