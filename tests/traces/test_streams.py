"""Traces survive a kill, a cut at any byte, and a reader of another version."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from starwatt_errors import TraceError
from tests.support.rows import rows
from traces.clock import boot_id, now_ns
from traces.schemas import POWER, TRACES
from traces.streams import TraceWriter, has_trace, read_trace, stamped

SECOND_NS = 1_000_000_000
BATCHES, ROWS_IN_A_BATCH = 4, 3


def write_stream(folder: Path) -> Path:
    """A power trace of several batches whose writer never closed it."""
    writer = TraceWriter(folder, "power")
    for batch in range(BATCHES):
        for row in range(ROWS_IN_A_BATCH):
            writer.append({"t_ns": batch * ROWS_IN_A_BATCH + row, "device": "GPU-0"})
        writer.flush()
    writer._file.close()
    return folder / "power.arrows"


def stream_rows(folder: Path) -> int:
    """How many rows a reader finds in the stream now."""
    try:
        return int(read_trace(folder, "power").num_rows)
    except TraceError:  # not even its schema has left the writer's buffer
        return 0


@pytest.mark.parametrize("name", TRACES)
def test_every_trace_reads_back_what_was_written_as_parquet(tmp_path: Path, name: str) -> None:
    written = rows(TRACES[name], 11)
    with TraceWriter(tmp_path, name) as writer:
        writer.extend(written)
    table = read_trace(tmp_path, name)
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.parquet"]
    assert table.schema.equals(TRACES[name])
    assert table.to_pylist() == written


@pytest.mark.parametrize("name", TRACES)
def test_every_trace_reads_back_what_was_written_while_its_writer_still_runs(
    tmp_path: Path, name: str
) -> None:
    written = rows(TRACES[name], 11)
    with TraceWriter(tmp_path, name) as writer:
        writer.extend(written)
        writer.flush()
        assert has_trace(tmp_path, name)
        assert read_trace(tmp_path, name).to_pylist() == written


def test_a_trace_without_rows_has_its_columns_all_the_same(tmp_path: Path) -> None:
    TraceWriter(tmp_path, "requests").close()
    table = read_trace(tmp_path, "requests")
    assert table.num_rows == 0
    assert table.schema.equals(TRACES["requests"])


def test_a_column_left_out_of_a_row_is_null_not_zero(tmp_path: Path) -> None:
    with TraceWriter(tmp_path, "power") as writer:
        writer.append({"t_ns": 5, "device": "GPU-0"})
    [row] = read_trace(tmp_path, "power").to_pylist()
    assert {name for name, content in row.items() if content is not None} == {"t_ns", "device"}


@pytest.mark.parametrize("complete", [True, False], ids=["parquet", "stream"])
def test_every_file_says_its_schema_version_boot_and_both_clocks(tmp_path: Path, complete: bool) -> None:
    before_ns = now_ns()
    with TraceWriter(tmp_path, "engine") as writer:
        after_ns = now_ns()
        writer.append({"t_ns": 1})
        writer.flush()
        if complete:
            writer.close()
        metadata = read_trace(tmp_path, "engine").schema.metadata
    assert metadata[b"schema_version"] == b"1"
    assert metadata[b"boot_id"].decode() == boot_id()
    assert before_ns <= int(metadata[b"monotonic_ns"]) <= after_ns
    assert int(metadata[b"realtime_ns"]) > 1_600_000_000 * SECOND_NS


def test_a_stream_cut_at_any_byte_reads_up_to_its_last_whole_batch(tmp_path: Path) -> None:
    whole = write_stream(tmp_path / "whole").read_bytes()
    cut = tmp_path / "power.arrows"
    tables = []
    for length in range(len(whole) + 1):
        cut.write_bytes(whole[:length])
        try:
            table = read_trace(tmp_path, "power")
        except TraceError as error:
            assert str(cut) in str(error)  # noqa: PT017 -- most lengths do not raise
            tables.append(-1)
            continue
        assert table.column("t_ns").to_pylist() == list(range(table.num_rows))
        assert table.num_rows % ROWS_IN_A_BATCH == 0
        tables.append(table.num_rows)
    assert tables == sorted(tables)
    assert set(tables) == {-1, *range(0, BATCHES * ROWS_IN_A_BATCH + 1, ROWS_IN_A_BATCH)}


def test_a_stream_whose_tail_is_garbage_reads_up_to_its_last_whole_batch(tmp_path: Path) -> None:
    stream = write_stream(tmp_path)
    stream.write_bytes(stream.read_bytes() + b"\xff\xff\xff\xff\x40\x00\x00\x00" + b"\x07" * 200)
    assert read_trace(tmp_path, "power").num_rows == BATCHES * ROWS_IN_A_BATCH


_ENDLESS_WRITER = """
import sys, time
from pathlib import Path
from traces.clock import now_ns
from traces.streams import TraceWriter
writer = TraceWriter(Path(sys.argv[1]), "power")
while True:
    t_ns = now_ns()
    writer.append({"t_ns": t_ns, "device": "GPU-0", "power_w": 1.0})
    print(t_ns, flush=True)
    time.sleep(0.01)
"""


def test_a_sigkill_loses_at_most_the_last_second_of_rows(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _ENDLESS_WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        appended = [int(process.stdout.readline())]
        while appended[-1] - appended[0] < 1.6 * SECOND_NS:
            appended.append(int(process.stdout.readline()))
        process.send_signal(signal.SIGKILL)
        appended += [int(line) for line in process.stdout.read().splitlines()]
    kept = read_trace(tmp_path, "power").column("t_ns").to_pylist()
    assert kept[: len(appended)] == appended[: len(kept)]
    assert 1 < len(kept) <= len(appended) + 1, (
        "the kill may come between a row's way to the file and its print"
    )
    lost = appended[len(kept) :]
    assert not lost or lost[-1] - lost[0] < SECOND_NS


def test_rows_reach_the_file_a_second_later_though_no_other_row_follows(tmp_path: Path) -> None:
    with TraceWriter(tmp_path, "power") as writer:
        writer.append({"t_ns": 1})
        while not stream_rows(tmp_path):
            writer.flush_if_due()
        assert now_ns() - writer._flushed_ns < SECOND_NS


def test_a_second_try_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    with TraceWriter(tmp_path, "engine") as writer:
        writer.append({"t_ns": 1})
    with TraceWriter(tmp_path, "engine") as second:
        second.append({"t_ns": 2})
        second.flush()
        assert read_trace(tmp_path, "engine").column("t_ns").to_pylist() == [2]


def test_another_schema_version_is_refused_with_the_files_name(tmp_path: Path) -> None:
    schema = stamped(POWER)
    schema = schema.with_metadata({**schema.metadata, b"schema_version": b"99"})
    pq.write_table(pa.Table.from_pylist([], schema=schema), tmp_path / "power.parquet")
    with pytest.raises(TraceError, match=r"power\.parquet: schema version 99, but this starwatt reads 1"):
        read_trace(tmp_path, "power")


def test_a_parquet_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"t_ns": [1]}), tmp_path / "power.parquet")
    with pytest.raises(TraceError, match=r"power\.parquet: schema version none"):
        read_trace(tmp_path, "power")


def test_missing_columns_are_named(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([], schema=stamped(POWER)).drop_columns(["power_w", "read_ns"])
    pq.write_table(table, tmp_path / "power.parquet")
    with pytest.raises(TraceError, match=r"power\.parquet: lacks the columns power_w, read_ns"):
        read_trace(tmp_path, "power")


@pytest.mark.parametrize("kept", [0, 1, 100, -1], ids=["empty", "one byte", "head only", "no last byte"])
def test_a_damaged_parquet_file_is_an_error_with_its_name(tmp_path: Path, kept: int) -> None:
    with TraceWriter(tmp_path, "power") as writer:
        writer.extend(rows(POWER, 50))
    path = tmp_path / "power.parquet"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(TraceError, match=r"power\.parquet: cannot be read as Parquet"):
        read_trace(tmp_path, "power")


def test_a_trace_that_is_not_there_is_an_error_with_its_folder(tmp_path: Path) -> None:
    assert not has_trace(tmp_path, "grades")
    with pytest.raises(TraceError, match=f"{tmp_path}: has neither grades.parquet nor grades.arrows"):
        read_trace(tmp_path, "grades")


def test_a_power_trace_from_before_power_limits_were_recorded_reads_with_nulls(tmp_path: Path) -> None:
    with TraceWriter(tmp_path, "power") as writer:
        writer.append({"t_ns": 1, "device": "d", "power_w": 5.0})
    older = read_trace(tmp_path, "power").drop_columns(["power_limit_w"])
    pq.write_table(older, tmp_path / "power.parquet")
    assert read_trace(tmp_path, "power")["power_limit_w"].to_pylist() == [None]
