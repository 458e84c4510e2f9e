"""What a run came to, in a form in which two runs can be held against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis.cells.cell import analyse_cell
from analysis.cells.context import read_context
from tests.golden.nvml.world import GoldenBoards
from traces.cell import CoolStart, read_cell
from traces.layout import CellKey, RunDir
from traces.streams import has_trace, read_trace

ERRORS = 4.0
"""Standard errors of sampling that a figure may be off."""
EDGE_S = 0.06
"""Of a window: what the simulated sensor (20 ms late and wide) and the sampler (20 ms) can't place, at both ends."""
COLUMNS = ("request_id", "task_id", "sample", "status", "finish_reason", "output_tokens", "completion")


@dataclass(frozen=True)
class Joules:
    """Of one cell's window, a measured request."""

    found_j: float
    true_j: float
    uncertainty_j: float

    def agrees(self, other: Joules) -> bool:
        """Whether the two differ by no more than they may, and than the world did."""
        may = self.uncertainty_j + other.uncertainty_j + abs(self.true_j - other.true_j)
        return abs(self.found_j - other.found_j) <= may


@dataclass(frozen=True)
class Outcome:
    """One finished run."""

    plan: list[dict[str, Any]]
    requests: Mapping[CellKey, list[dict[str, Any]]]
    """What was measured."""
    grades: Mapping[CellKey, list[dict[str, Any]] | None]
    joules: Mapping[CellKey, Joules]
    """Of cells whose energy is valid."""
    cool_starts: Mapping[CellKey, CoolStart | None]


def outcome_of(run: RunDir, boards: Mapping[str, GoldenBoards]) -> Outcome:
    """Read a run; ``boards`` by boot id hold the truth."""
    keys = list(run.finished_cells())
    found = {key: _joules(run, key, boards) for key in keys}
    return Outcome(
        plan=pq.read_table(run.plan).to_pylist(),
        requests={key: _measured(run, key) for key in keys},
        grades={key: _grades(run, key) for key in keys},
        joules={key: joules for key, joules in found.items() if joules is not None},
        cool_starts={key: read_cell(run.cell(key)).cool_start for key in keys},
    )


def scraps(run: RunDir) -> list[str]:
    """Files of a finished run that are there only while it is measured."""
    names = (".*.tmp", ".load-*", ".sidecar.log", "*.arrows")
    return [str(path) for name in names for path in run.root.rglob(name)]


def holding(run: RunDir, secret: str) -> list[str]:
    """Files of a run in which a secret stands."""
    files = (path for path in run.root.rglob("*") if path.is_file())
    return [str(path) for path in files if secret.encode() in path.read_bytes()]


def _measured(run: RunDir, key: CellKey) -> list[dict[str, Any]]:
    table = read_trace(run.cell(key), "requests")
    table = table.filter(pc.equal(table["role"], "measured")).sort_by("request_id")
    return table.select(list(COLUMNS)).to_pylist()  # type: ignore[no-any-return]


def _grades(run: RunDir, key: CellKey) -> list[dict[str, Any]] | None:
    if not has_trace(run.cell(key), "grades"):
        return None
    table = read_trace(run.cell(key), "grades").sort_by("request_id")
    return table.select(["task_id", "base", "plus", "reason"]).to_pylist()  # type: ignore[no-any-return]


def _joules(run: RunDir, key: CellKey, boards: Mapping[str, GoldenBoards]) -> Joules | None:
    result = analyse_cell(run, key, read_context(run)[0])
    energy, own = result.primary, result.measured
    if energy is None or own is None or energy.energy_j is None or energy.error_j is None or energy.reasons:
        return None
    world = boards[read_cell(run.cell(key)).boot_id]
    board = world.index(read_trace(run.cell(key), "power").column("device")[0].as_py())
    true_j = world.true_j(own.window.start_ns, own.window.end_ns, board=board)
    most_w = world.most_w(own.window.start_ns, own.window.end_ns, board=board)
    count = len(_measured(run, key))
    uncertainty_j = ERRORS * energy.error_j + EDGE_S * most_w
    return Joules(energy.energy_j / count, true_j / count, uncertainty_j / count)
