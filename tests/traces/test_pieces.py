"""A trace is written and read some rows at a time: it is the same rows, and no more memory than a row group takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from starwatt_errors import TraceError
from tests.support.rows import rows
from traces import pieces, streams
from traces.pieces import InMemory, OnDisk, open_trace
from traces.schemas import LATER_COLUMNS, TRACES
from traces.streams import TraceWriter, read_trace, stamped

NAMES = ("requests", "power")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("group", [1, 7, 1000])
def test_row_groups_of_a_written_trace_hold_its_rows_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, group: int
) -> None:
    monkeypatch.setattr(streams, "GROUP_ROWS", group)
    monkeypatch.setattr(streams, "_MOST_ROWS", 3)
    written = rows(TRACES[name], 50)
    with TraceWriter(tmp_path, name) as writer:
        writer.extend(written)
    groups = pq.read_metadata(tmp_path / f"{name}.parquet").num_row_groups
    assert groups == {1: 17, 7: 6, 1000: 1}[group], "a group ends with the batch of three that reaches it"
    assert read_trace(tmp_path, name).to_pylist() == written
    assert read_trace(tmp_path, name).schema.metadata[b"schema_version"] == b"1"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("group", [1, 7, 1000])
def test_pieces_are_the_rows_of_the_file_however_it_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, group: int
) -> None:
    monkeypatch.setattr(pieces, "_MOST_ROWS", 4)
    written = rows(TRACES[name], 30)
    table = pa.Table.from_pylist(written, schema=stamped(TRACES[name]))
    pq.write_table(table, tmp_path / f"{name}.parquet", row_group_size=group)
    trace = OnDisk(tmp_path / f"{name}.parquet", name)
    names = TRACES[name].names[::-1]
    read = list(trace.pieces(names))
    assert max(piece.num_rows for piece in read) <= 4
    assert [piece.column_names for piece in read] == [names] * len(read)
    assert pa.concat_tables(read).select(TRACES[name].names).to_pylist() == written
    assert trace.read(names[:2]).equals(InMemory(table).read(names[:2]))
    assert trace.schema.metadata == table.schema.metadata


def test_columns_that_an_older_file_lacks_are_null_in_every_piece(tmp_path: Path) -> None:
    later = LATER_COLUMNS["requests"]
    table = pa.Table.from_pylist(rows(TRACES["requests"], 9), schema=stamped(TRACES["requests"]))
    pq.write_table(table.drop_columns(list(later)), tmp_path / "requests.parquet", row_group_size=4)
    trace = OnDisk(tmp_path / "requests.parquet", "requests")
    for name in later:
        assert trace.read([name])[name].to_pylist() == [None] * table.num_rows
    assert trace.read([*later, "request_id"])["request_id"].to_pylist() == table["request_id"].to_pylist()


def test_a_large_trace_without_rows_has_its_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "SMALL", 0)
    TraceWriter(tmp_path, "requests").close()
    trace = open_trace(tmp_path, "requests")
    assert isinstance(trace, OnDisk)
    assert trace.read(TRACES["requests"].names).schema.equals(TRACES["requests"])


@pytest.mark.parametrize("column", ["t_ns", "power_w"])
def test_a_large_file_is_refused_as_a_small_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: str
) -> None:
    table = pa.Table.from_pylist(rows(TRACES["power"], 5), schema=stamped(TRACES["power"]))
    pq.write_table(table.drop_columns(column), tmp_path / "power.parquet")
    said = []
    for small in (0, 1 << 20):
        monkeypatch.setattr(pieces, "SMALL", small)
        with pytest.raises(TraceError, match=f"lacks the columns {column}") as caught:
            open_trace(tmp_path, "power")
        said.append(str(caught.value))
    assert said[0] == said[1]


_WRITE = """
import json, sys
from pathlib import Path
from benchmarks.peak import most_bytes
from traces import streams
from traces.streams import TraceWriter
streams._GROUP_BYTES = 4 << 20
peaks = []
for count in (400, 1600):
    with TraceWriter(Path(sys.argv[1]) / str(count), "requests") as writer:
        for row in range(count):
            writer.append({"request_id": row, "chunk_ns": range(row, row + 8000), "chunk_tokens": [1] * 8000})
    peaks.append(most_bytes())
print(json.dumps(peaks))
"""


def test_four_times_as_many_rows_are_written_in_the_same_memory(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WRITE, str(tmp_path)], capture_output=True, text=True, check=True, timeout=120
    )
    few, many = json.loads(done.stdout)
    held = 1200 * 8000 * 12  # what the other 1200 rows' numbers alone take
    assert many - few < held / 3
    assert pq.read_metadata(tmp_path / "1600" / "requests.parquet").num_row_groups > 10
