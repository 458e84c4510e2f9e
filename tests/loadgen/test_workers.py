"""Several workers are together what one is: the same requests, at the same times, in one trace."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from loadgen.process import run_load
from loadgen.result import LoadResult
from starwatt_errors import LoadError
from tests.loadgen.test_process import generators
from tests.support.driving import SINGLE, TASK_OF_PROMPT, TASKS, closed, constant, make_spec, passes, requests
from tests.support.server import Answer, Asked, Behaviour, TruthServer
from traces.schemas import REQUESTS
from traces.streams import read_trace

MS = 1_000_000
POISSON = {"kind": "open", "qps": 120, "arrivals": "poisson"}
Rows = list[dict[str, Any]]


def run(
    out: Path, load: dict[str, Any], behave: Behaviour = lambda _: Answer(), **changes: Any
) -> tuple[LoadResult, Rows, TruthServer]:
    """A load in processes of its own; its rows in the order of their numbers."""
    with TruthServer(behave) as server:
        result = run_load(make_spec(server.url, load, **changes), out)
    return result, read_trace(out, "requests").sort_by("request_id").to_pylist(), server


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_send_exactly_the_schedule_that_one_would(tmp_path: Path, workers: int) -> None:
    due = []
    for count in (1, workers):
        result, rows, server = run(
            tmp_path / str(count), POISSON, amount=passes(4), warmup_s=0.1, workers=count
        )
        planned = pq.read_table(tmp_path / str(count) / "schedule.parquet").to_pylist()
        asked = Counter(TASK_OF_PROMPT[request.body["prompt"]] for request in server.asked)
        assert Counter(row["task_id"] for row in planned) <= asked <= Counter(row["task_id"] for row in rows)
        assert result.phases.warmup is not None
        start_ns = result.phases.warmup.start_ns
        due.append(
            [
                (
                    row["request_id"],
                    row["task_id"],
                    row["sample"],
                    row["role"],
                    row["scheduled_ns"] - start_ns,
                )
                for row in rows[: len(planned)]
            ]
        )
        assert due[-1] == [
            (row["position"], row["task_id"], row["sample"], row["role"], row["due_ns"]) for row in planned
        ]
        assert [row["worker"] for row in rows[: len(planned)]] == [n % count for n in range(len(planned))]
    assert due[0] == due[1]


def test_a_closed_load_split_over_workers_keeps_its_concurrency_and_measures_every_task_once_a_pass(
    tmp_path: Path,
) -> None:
    # Nothing is answered unless five are in flight: less, and the measured requests would never end.
    result, rows, server = run(
        tmp_path,
        closed(5),
        lambda _: Answer(until_in_flight=5),
        amount=passes(4),
        drain_s=0.2,
        request_timeout_s=10,
        workers=2,
    )
    measured = [row for row in rows if row["role"] == "measured"]
    assert Counter((row["task_id"], row["sample"]) for row in measured) == Counter(
        {(task, sample): 1 for task in {row["task_id"] for row in measured} for sample in range(4)}
    )
    assert len(measured) == 4 * TASKS
    assert {row["status"] for row in measured} == {"ok"}
    assert server.most_in_flight == 5
    assert {row["worker"] for row in measured} == {0, 1}
    assert not result.interrupted


def test_every_worker_goes_on_with_filler_until_the_last_measured_request_of_all_has_ended(
    tmp_path: Path,
) -> None:
    # The last measured request is answered when 30 more were asked; both workers must have sent some of them.
    def behave(asked: Asked) -> Answer:
        return Answer(until_seen=TASKS + 30) if asked.number == TASKS - 1 else Answer()

    result, rows, _ = run(tmp_path, constant(100), behave, workers=2)
    filler = [row for row in rows if row["role"] == "filler"]
    assert len(filler) >= 30
    assert {row["status"] for row in rows} == {"ok"}
    per_worker = Counter(row["worker"] for row in filler)
    assert abs(per_worker[0] - per_worker[1]) <= 2
    assert result.phases.window is not None
    assert result.phases.window.end_ns == max(row["end_ns"] for row in rows if row["role"] == "measured")


def test_the_audit_of_several_workers_is_that_of_their_requests_together(tmp_path: Path) -> None:
    result, rows, _ = run(tmp_path, constant(100), amount=requests(40), workers=2)
    measured = [row for row in rows if row["role"] == "measured"]
    assert result.audit.offered_rate == pytest.approx(100)
    assert result.audit.lag_max_ms == pytest.approx(
        max(row["sent_ns"] - row["scheduled_ns"] for row in measured) / MS
    )
    assert (tmp_path / "requests.parquet").is_file()
    assert not list(tmp_path.glob("worker-*"))
    assert [row["request_id"] for row in rows] == list(range(len(rows)))


def test_a_worker_without_a_measured_request_of_its_own_does_not_hold_the_others_up(tmp_path: Path) -> None:
    result, rows, _ = run(tmp_path, constant(100), amount=requests(1), workers=3)
    assert sum(row["role"] == "measured" for row in rows) == 1
    assert not result.interrupted


def test_a_duration_is_measured_by_all_workers_alike(tmp_path: Path) -> None:
    amount = {"kind": "duration", "seconds": 0.3}
    _, rows, _ = run(tmp_path / "open", constant(100), amount=amount, workers=2)
    assert sum(row["role"] == "measured" for row in rows) == 30
    _, rows, _ = run(tmp_path / "closed", closed(2), amount=amount, workers=2)
    measured = Counter((row["task_id"], row["sample"]) for row in rows if row["role"] == "measured")
    assert set(measured.values()) == {1}


def test_one_worker_that_is_interrupted_ends_the_load_of_all_and_every_row_is_kept(tmp_path: Path) -> None:
    with TruthServer() as server:
        spec = make_spec(server.url, constant(100), amount=requests(1_000_000), workers=2)
        pids: list[int] = []

        def interrupt(progress: Mapping[str, Any]) -> None:
            if progress["ended"] >= 20 and not pids:
                pids.append(generators()[0].pid)
                os.kill(pids[0], signal.SIGINT)

        result = run_load(spec, tmp_path, on_progress=interrupt)
        asked = len(server.asked)
    rows = read_trace(tmp_path, "requests").to_pylist()
    assert result.interrupted
    assert {row["worker"] for row in rows} == {0, 1}
    assert asked - 2 <= len(rows) <= asked + 2
    assert not generators()


def test_an_endpoint_that_refuses_is_a_load_error_and_nothing_stays(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(LoadError, match=f"^{url} cannot be reached"):
            run_load(make_spec(url, closed(2), workers=2), tmp_path)
    assert not generators()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("load", "changes", "message"),
    [
        (SINGLE, {}, "single-stream takes one worker"),
        (closed(1), {}, "takes at most 1"),
        (closed(4), {"amount": passes(1, min_s=1)}, "where min_s decides"),
    ],
)
def test_what_cannot_be_shared_is_refused(
    load: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        make_spec("http://x", load, workers=2, **changes)


def test_the_traces_of_two_machines_are_merged_on_the_first_ones_clock(tmp_path: Path) -> None:
    # The second machine booted 1000 s later, so that its monotonic clock is 1000 s behind; both agree on the date.
    for number, (boot, monotonic_ns) in enumerate([(b"one", 5_000_000_000_000), (b"two", 4_000_000_000_000)]):
        row = {
            "request_id": 0,
            "role": "measured",
            "scheduled_ns": monotonic_ns + number,
            "sent_ns": monotonic_ns + number + 2,
            "first_token_ns": None,
            "end_ns": monotonic_ns + number + 9,
            "chunk_ns": [monotonic_ns + number + 5],
        }
        metadata = {
            b"schema_version": b"1",
            b"boot_id": boot,
            b"monotonic_ns": str(monotonic_ns).encode(),
            b"realtime_ns": b"7000000000000",
        }
        folder = tmp_path / f"worker-{number}"
        folder.mkdir()
        table = pa.Table.from_pylist([row], schema=REQUESTS.with_metadata(metadata))
        pq.write_table(table, folder / "requests.parquet")
    command = [sys.executable, "-m", "loadgen.merge", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("2 requests: ")
    first, second = read_trace(tmp_path, "requests").to_pylist()
    assert (first["worker"], second["worker"], second["request_id"]) == (0, 1, 1)
    for name in ("scheduled_ns", "sent_ns", "end_ns"):
        assert second[name] == first[name] + 1
    assert second["first_token_ns"] is None
    assert second["chunk_ns"] == [first["chunk_ns"][0] + 1]
