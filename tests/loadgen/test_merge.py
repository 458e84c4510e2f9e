"""Several workers' traces become one, some rows at a time, whatever the order that their requests ended in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loadgen import merge
from loadgen.audit import MeasuredTimes, phases_of
from loadgen.merge import merge_traces
from tests.support.builders import MS, request
from traces.remote import ClockOffset, PowerClock
from traces.schemas import REQUESTS
from traces.streams import read_trace, stamped


def shares(folder: Path, rng: np.random.Generator, workers: int, *, sorted_ends: bool) -> list[Path]:
    """Each worker's share of 200 requests, as it ended: some long before others, which were scheduled earlier."""
    folders = []
    for worker in range(workers):
        rows = []
        for number in range(worker, 200, workers):
            sent = number * 10
            end = sent + int(rng.integers(20, 900 if sorted_ends else 9000))
            chunks = [(sent + 5) * MS, end * MS] if number % 7 else None
            rows.append(
                request(number // workers, sent, end, chunk_ns=chunks, chunk_tokens=chunks and [1, 1])
            )
        rows.sort(key=lambda row: row["end_ns"] if sorted_ends else -row["end_ns"])
        folders.append(folder / f"worker-{worker}")
        folders[-1].mkdir(parents=True)
        table = pa.Table.from_pylist(rows, schema=stamped(REQUESTS))
        pq.write_table(table, folders[-1] / "requests.parquet", row_group_size=17)
    return folders


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("sorted_ends", [True, False], ids=["as they ended", "the last to end first"])
def test_rows_come_in_the_order_of_the_schedule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, sorted_ends: bool
) -> None:
    monkeypatch.setattr(merge, "_ROWS", 16)
    folders = shares(tmp_path, np.random.default_rng(4), workers, sorted_ends=sorted_ends)
    told = {
        (row["scheduled_ns"], worker): row
        for worker, folder in enumerate(folders)
        for row in read_trace(folder, "requests").to_pylist()
    }
    expected = [
        {**told[key], "worker": key[1], "request_id": number} for number, key in enumerate(sorted(told))
    ]
    merged = merge_traces(folders, tmp_path)
    assert merged.rows == 200
    assert read_trace(tmp_path, "requests").to_pylist() == expected
    assert pq.read_metadata(tmp_path / "requests.parquet").num_row_groups == 13
    assert [path.name for path in tmp_path.iterdir()] == ["requests.parquet"]
    times = [(row["scheduled_ns"], row["scheduled_ns"], row["sent_ns"], row["end_ns"]) for row in expected]
    assert merged.measured.tolist() == [list(row) for row in times]


def test_another_machines_times_are_shifted_in_every_row_group(tmp_path: Path) -> None:
    folders = shares(tmp_path, np.random.default_rng(4), 2, sorted_ends=True)
    before = [read_trace(folder, "requests").to_pylist() for folder in folders]
    offsets = [ClockOffset(at_ns=1, offset_ns=by, uncertainty_ns=1, exchanges=1) for by in (0, 5 * MS)]
    clocks = [PowerClock(boot_id="another", start=offset) for offset in offsets]
    merge_traces(folders, tmp_path, clocks)
    for row in read_trace(tmp_path, "requests").to_pylist():
        shift_ns = -clocks[row["worker"]].shift_ns
        [before_shift] = [
            unshifted for unshifted in before[row["worker"]]
            if unshifted["scheduled_ns"] + shift_ns == row["scheduled_ns"]
        ]  # fmt: skip
        assert row["end_ns"] == before_shift["end_ns"] + shift_ns
        assert row["chunk_ns"] == (
            before_shift["chunk_ns"] and [t_ns + shift_ns for t_ns in before_shift["chunk_ns"]]
        )


def test_the_instants_of_a_measured_request_take_32_bytes() -> None:
    kept = MeasuredTimes()
    for number in range(10_000):
        kept.add(scheduled_ns=number, due_ns=number, sent_ns=10**15 + number, end_ns=2 * 10**15 + number)
    assert kept.all_ns.nbytes == 320_000
    assert kept.all_ns[7].tolist() == [7, 7, 10**15 + 7, 2 * 10**15 + 7]
    window = phases_of(5, kept.all_ns, 9).window
    assert window is not None
    assert (window.start_ns, window.end_ns) == (10**15, 2 * 10**15 + 9_999)
