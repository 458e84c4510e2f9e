"""The schedule is worked out before the load, saved beside its trace, and is what the server then sees."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from loadgen.planning.arrivals import Arrivals, trace_offsets_ns
from loadgen.planning.dither import PassStarts
from loadgen.planning.schedule import write_schedule
from loadgen.process import run_load
from tests.support.driving import SINGLE, TASK_OF_PROMPT, closed, constant, make_spec, passes, requests
from tests.support.server import TruthServer
from traces.streams import read_trace

POISSON = {"kind": "open", "qps": 150, "arrivals": "poisson"}


def trace(folder: Path) -> dict[str, Any]:
    """An open load with recorded arrivals: bursts of two."""
    (folder / "bursts.csv").write_text("0\n0\n0.02\n0.02\n0.05\n0.05\n")
    return {"kind": "open", "trace": str(folder / "bursts.csv")}


@pytest.mark.parametrize("kind", ["poisson", "trace", "single", "closed"])
def test_the_saved_schedule_is_what_the_server_was_asked_and_when_it_was_due(
    tmp_path: Path, kind: str
) -> None:
    load = {"poisson": POISSON, "trace": trace(tmp_path), "single": SINGLE, "closed": closed(2)}[kind]
    warmup_s = 0.1 if load["kind"] == "open" else 0
    out = tmp_path / "out"
    with TruthServer() as server:
        run_load(make_spec(server.url, load, amount=passes(3), warmup_s=warmup_s), out)
    schedule = pq.read_table(out / "schedule.parquet").to_pylist()
    every = sorted(read_trace(out, "requests").to_pylist(), key=lambda row: row["request_id"])
    rows = every[: len(schedule)]
    keys = ("task_id", "sample", "role")
    assert [[row[key] for key in keys] for row in rows] == [[row[key] for key in keys] for row in schedule]
    assert [row["position"] for row in schedule] == list(range(len(schedule)))
    assert sum(row["role"] == "measured" for row in schedule) == 15
    asked = Counter(TASK_OF_PROMPT[request.body["prompt"]] for request in server.asked)
    assert Counter(row["task_id"] for row in schedule) <= asked <= Counter(row["task_id"] for row in every)
    if load["kind"] == "open":
        start_ns = rows[0]["scheduled_ns"] - schedule[0]["due_ns"]
        assert [row["scheduled_ns"] - start_ns for row in rows] == [row["due_ns"] for row in schedule]
    else:
        assert {row["due_ns"] for row in schedule} == {None}


def test_the_phase_at_which_a_closed_load_begins_each_pass_is_saved(tmp_path: Path) -> None:
    spec = make_spec("http://x", closed(2), amount=passes(3), dither_s=0.1)
    write_schedule(spec, tmp_path)
    starts, minute_ns = PassStarts.of(spec), 60_000_000_000
    waited_s = {sample: starts.wait_s(0, sample, sample * minute_ns) for sample in range(3)}
    rows = pq.read_table(tmp_path / "schedule.parquet").to_pylist()
    phases_ns = {row["sample"]: row["pass_phase_ns"] for row in rows}
    assert len(phases_ns) == 3
    assert [phases_ns[sample] * 1e-9 for sample in (1, 2)] == pytest.approx(
        [waited_s[1], waited_s[2]], abs=1e-9
    )


@pytest.mark.parametrize(("load", "dither_s"), [(closed(2), 0.0), (constant(10), 0.1)])
def test_where_no_place_waits_there_is_no_phase(
    tmp_path: Path, load: dict[str, Any], dither_s: float
) -> None:
    write_schedule(make_spec("http://x", load, amount=requests(20), dither_s=dither_s), tmp_path)
    assert set(pq.read_table(tmp_path / "schedule.parquet").column("pass_phase_ns").to_pylist()) == {None}


def test_of_a_load_without_foreseeable_end_the_first_hundred_thousand_requests_are_saved(
    tmp_path: Path,
) -> None:
    write_schedule(make_spec("http://x", constant(10_000), amount=requests(10**7)), tmp_path)
    due_ns = pq.read_table(tmp_path / "schedule.parquet").column("due_ns").to_pylist()
    assert due_ns == [100_000 * position for position in range(100_000)]


def test_what_is_measured_is_the_recording_from_its_first_request_on_and_warm_up_is_its_end() -> None:
    recording = [0, 10, 30]  # a period of 45: one mean gap follows
    assert list(islice(trace_offsets_ns(recording, 0), 7)) == [0, 10, 30, 45, 55, 75, 90]
    assert list(islice(trace_offsets_ns(recording, 45), 4)) == [0, 10, 30, 45]
    assert list(islice(trace_offsets_ns(recording, 20), 4)) == [5, 20, 30, 50]


def test_whole_passes_over_a_recording_are_as_many_as_the_least_time_asks_for(tmp_path: Path) -> None:
    arrivals = Arrivals.of(make_spec("http://x", trace(tmp_path)))
    offsets = list(islice(arrivals.offsets_ns(), 100))
    for seconds in (0.0, 0.01, 0.05, 0.06, 0.2):
        assert arrivals.within(seconds) == sum(offset < seconds * 1e9 for offset in offsets)
