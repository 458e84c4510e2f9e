"""One measurement in a process of its own: ``python -m benchmarks.attribution.timed FOLDER ours|plain``.

Prints JSON: seconds by stage, and the most memory that the process ever had.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from analysis.attribution.phase import PhaseCosts, PhaseInput, PhaseRows, fit_phase, stretches_of
from analysis.attribution.rules import Attribution, by_tokens, flights, in_flight, joules_at
from analysis.attribution.steps import WorkCount
from analysis.energy.boundary import boundary_energies
from analysis.energy.integral import read_series
from analysis.requests.columns import read_columns
from analysis.requests.window import measured_window, shares_in
from benchmarks.peak import most_bytes
from traces.pieces import open_trace

READ = (
    "t_ns",
    "device",
    "boundary",
    "source",
    "power_w",
    "power_avg_w",
    "energy_j",
    "power_limit_w",
    "read_ns",
)
COSTS = PhaseCosts(np.array([1.2, 0.02, 0.006, 1e-5]), 1.0, None, 1, True)


def ours(folder: Path) -> dict[str, float]:
    """From the files of a cell to joules of every request by every rule."""
    times = [time.perf_counter()]
    power = read_series(open_trace(folder, "power").read(READ))
    times.append(time.perf_counter())
    requests = read_columns(open_trace(folder, "requests"))
    window = measured_window(requests)
    assert window is not None
    share = shares_in(requests, window)
    times.append(time.perf_counter())
    energy = boundary_energies(power, window, None, None)[0]
    curves, energy_j = energy.curves, energy.energy_j
    assert energy_j is not None
    del power, energy
    times.append(time.perf_counter())
    lives = flights(requests.sent_ns, requests.end_ns, window)
    splits = [in_flight(lives, curves), by_tokens(share.tokens, energy_j)]
    times.append(time.perf_counter())
    count = WorkCount(requests, window, stretches_of(window.seconds))
    requests.chunks.show(count)
    work = count.work
    idle_j = lives.idle_j(curves, work.edges_s)
    all_j = np.diff(joules_at(work.edges_s, curves))
    cell = PhaseInput(work, all_j - idle_j, energy_j, float(idle_j.sum()))
    fit_phase([PhaseRows("this", work.stretches, cell.busy_j)])
    weights = work.requests @ COSTS.cost_j
    splits.append(Attribution(weights * ((energy_j - cell.idle_j) / weights.sum()), cell.idle_j))
    times.append(time.perf_counter())
    for split in splits:
        assert abs(split.total_j / energy_j - 1) < 1e-9
    names = ("power", "first_pass", "window_energy", "in_flight_and_tokens", "second_pass_and_phase")
    return dict(zip(names, np.diff(times).tolist(), strict=True))


def plain(folder: Path) -> dict[str, float]:
    """The same three rules as a plain loop over a pandas frame; files are read outside the time."""
    frame = pq.read_table(
        folder / "requests.parquet", columns=["sent_ns", "end_ns", "chunk_ns", "prompt_tokens"]
    ).to_pandas()
    power = pq.read_table(folder / "power.parquet", columns=["t_ns", "energy_j"]).to_pandas()
    start = time.perf_counter()
    lo, hi = frame.sent_ns.min(), frame.end_ns.max()
    power = power[(power.t_ns >= lo) & (power.t_ns <= hi)].reset_index(drop=True)
    power["step_j"] = power.energy_j.diff().fillna(0.0)
    power["flying"] = 0
    for _, row in frame.iterrows():
        power.loc[(power.t_ns >= row.sent_ns) & (power.t_ns <= row.end_ns), "flying"] += 1
    each = power.step_j / power.flying.clip(lower=1)
    sent, ended = np.sort(frame.chunk_ns.str[0]), np.sort(frame.chunk_ns.str[-1])
    found = []
    for _, row in frame.iterrows():
        joules = each[(power.t_ns >= row.sent_ns) & (power.t_ns <= row.end_ns)].sum()
        times = row.chunk_ns
        tokens = ((times >= lo) & (times <= hi)).sum()
        present = np.searchsorted(sent, times, side="right") - np.searchsorted(ended, times)
        context = (row.prompt_tokens + np.arange(times.size)).sum()
        found.append((joules, tokens, (1 / present).sum(), tokens, row.prompt_tokens, context))
    table = pd.DataFrame(found, columns=["in_flight", "inside", "steps", "decoded", "prompt", "context"])
    total = power.step_j.sum()
    table["tokens"] = table.inside / table.inside.sum() * total
    cost = (table[["steps", "decoded", "prompt", "context"]] * COSTS.cost_j).sum(axis=1)
    table["phase"] = cost / cost.sum() * total
    return {"all": time.perf_counter() - start}


def main() -> None:
    """As told by the command line."""
    folder, which = Path(sys.argv[1]), sys.argv[2]
    seconds = ours(folder) if which == "ours" else plain(folder)
    print(json.dumps({"seconds": seconds, "peak_gb": most_bytes() / 1e9}))


if __name__ == "__main__":
    main()
