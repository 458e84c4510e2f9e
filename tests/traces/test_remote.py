"""Streams that were fetched from another host: what does not read is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from starwatt_errors import TraceError
from tests.support.rows import rows
from traces.remote import complete_stream
from traces.schemas import POWER
from traces.streams import TraceWriter, read_trace


def fetched(folder: Path, kept: int | None) -> Path:
    """The first bytes of a stream of power."""
    stream = folder / "power.arrows"
    with TraceWriter(folder, "power") as writer:
        writer.extend(rows(POWER, 50))
        writer.flush()
        sent = stream.read_bytes()
    (folder / "power.parquet").unlink()
    stream.write_bytes(sent[:kept])
    return stream


def test_a_fetched_stream_that_does_not_read_is_kept_and_named(tmp_path: Path) -> None:
    stream = fetched(tmp_path, 40)
    with pytest.raises(TraceError, match=r"power\.arrows: was cut off"):
        complete_stream(tmp_path, "power")
    assert stream.stat().st_size == 40


def test_a_stream_of_which_nothing_came_leaves_nothing(tmp_path: Path) -> None:
    stream = fetched(tmp_path, 0)
    assert not complete_stream(tmp_path, "power")
    assert not stream.exists()


def test_a_fetched_stream_that_reads_becomes_parquet(tmp_path: Path) -> None:
    stream = fetched(tmp_path, None)
    assert complete_stream(tmp_path, "power")
    assert not stream.exists()
    assert read_trace(tmp_path, "power").num_rows == 50
