"""Attribution's memory grows by what a request is in columns, and not by its chunks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.attribution.traces import CHUNKS, write_traces
from tests.support.busy import PATIENCE_S

REQUESTS = 12_000
A_REQUEST = 500
"""Bytes that one more request may take: columns of numbers, and temporaries. Its chunks alone, held as they are looked
at, would take 1024 more."""
GIVEN_BACK = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "65536",
}
"""What is let go is given back at once, so that peaks are those of what was needed."""
_MEASURE = """
import json, sys
from pathlib import Path
from analysis.attribution import steps
from analysis.requests import gaps, pulse
from traces import pieces
from benchmarks.attribution.timed import ours
from benchmarks.peak import most_bytes
from traces.streams import read_trace
# What is fixed is all there in the smaller cell.
steps.MOST_BINS, gaps.MOST_KEPT, pulse.LARGEST, pieces.SMALL, pieces._PIECE = 1 << 16, 1 << 16, 1 << 16, 0, 1 << 20
peaks = [ours(Path(folder)) and most_bytes() for folder in (sys.argv[1], *sys.argv[1:])][1:]
kept = read_trace(Path(sys.argv[-1]), "requests")
print(json.dumps([*peaks, most_bytes()]))
"""


@pytest.fixture
def cells(tmp_path: Path) -> list[Path]:
    """A cell, and one of four times as many requests."""
    folders = [tmp_path / "one", tmp_path / "four"]
    for times, folder in zip((1, 4), folders, strict=True):
        folder.mkdir()
        write_traces(folder, times * REQUESTS, 2000, group=5000)
    return folders


def test_three_times_as_many_requests_take_a_few_columns_more(cells: list[Path]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, *map(str, cells)],
        env={**os.environ, **GIVEN_BACK}, capture_output=True, text=True, check=True, timeout=PATIENCE_S,
    )  # fmt: skip
    one, four, whole = json.loads(done.stdout)
    more = 3 * REQUESTS
    assert (four - one) / more < A_REQUEST
    assert (whole - four) / more > 16 * CHUNKS, "a file that is read whole would be noticed"
