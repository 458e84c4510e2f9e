"""Capture a tool's file, a board's log and our own trace of one load; then set their joules beside each other."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from analysis.cells.cell import analyse_cell
from analysis.cells.context import read_context
from benchmarks.imports.recording import RecordingEndpoint, shift_ns
from benchmarks.imports.tools import REQUESTS, Tool, a_tokenizer
from study.imported.calendar import Stated
from study.imported.run import ImportOrder, import_run
from tests.golden.nvml.world import BoardModel, GoldenBoards
from traces.clock import now_ns

_BEFORE_S = 3.0


@dataclass(frozen=True)
class Captured:
    """The files of one load."""

    requests: Path
    """The tool's own."""
    power: Path
    noted: Path
    """Our trace of the same requests, as CSV."""
    true_j: float
    """Of the board, from the first of our requests to the end of the last."""


@dataclass(frozen=True)
class Joules:
    """J/request, with the ends of its 95 % interval."""

    value: float
    lo: float
    hi: float


def capture(tool: Tool, folder: Path) -> Captured:
    """Drive ``tool`` on an endpoint of ours, and write all three files into ``folder``."""
    with tempfile.TemporaryDirectory() as scratch:
        boards = GoldenBoards(Path(scratch) / "boards", [BoardModel("GPU-golden")])
        with RecordingEndpoint(boards) as endpoint:
            left = tool.drive(endpoint.url, a_tokenizer(Path(scratch)), folder)
            time.sleep(_BEFORE_S)
            shift = shift_ns()
            own = endpoint.noted[-REQUESTS:]
            start_ns, end_ns = own[0]["came_ns"], max(row["token_ns"][-1] for row in own)
            files = Captured(
                left, folder / "smi.csv", folder / "noted.csv", true_j=boards.true_j(start_ns, end_ns)
            )
            files.noted.write_text(endpoint.requests_csv(shift, REQUESTS), encoding="ascii")
            begin_ns = start_ns - round(_BEFORE_S * 1e9)
            files.power.write_text(endpoint.smi_csv(begin_ns, now_ns(), shift), encoding="ascii")
            (folder / "truth.json").write_text(
                json.dumps({"true_j": files.true_j, "start_s": (start_ns + shift) / 1e9}) + "\n",
                encoding="ascii",
            )
    return files


def beside(captured: Captured, folder: Path) -> tuple[Joules, Joules, float]:
    """J/request by the tool's file, by our own trace, and the board's true joules a request."""
    theirs = joules(captured.requests, captured.power, folder / "theirs")
    ours = joules(captured.noted, captured.power, folder / "ours")
    requests = len(captured.noted.read_text(encoding="ascii").splitlines()) - 1
    return theirs, ours, captured.true_j / requests


def joules(requests: Path, power: Path, out: Path, stated: Stated | None = None) -> Joules:
    """Import, and what the analysis finds."""
    if stated is None:
        stated = Stated(zone="UTC", same_boot=requests.name == "vllm-bench.json")
    run, [cell] = import_run(
        ImportOrder(
            (requests,),
            out,
            (str(power),),
            model="golden",
            load="closed-4",
            clock_uncertainty_s=0.01,
            stated=stated,
        )
    )
    found = analyse_cell(run, cell.key, read_context(run)[0])
    energy, measured = found.primary, found.measured
    assert energy is not None
    assert measured is not None
    assert energy.energy_j is not None
    assert energy.error_j is not None
    share = measured.share.requests
    half = 1.96 * energy.error_j
    return Joules(energy.energy_j / share, (energy.energy_j - half) / share, (energy.energy_j + half) / share)


def words(name: str, found: tuple[Joules, Joules, float]) -> str:
    """One line."""
    theirs, ours, true = found
    said = "; ".join(
        f"{who} {one.value:.3f} ({one.lo:.3f} to {one.hi:.3f})"
        for who, one in (("by its file", theirs), ("by our trace", ours))
    )
    return f"{name}: J/request {said}; true {true:.3f}"
