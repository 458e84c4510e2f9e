"""The tools themselves, on an endpoint of ours: their files are read as they write them today."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.imports.capture import beside, capture
from benchmarks.imports.tools import Tool, tools

TOOLS = tools(os.environ.get("STARWATT_GUIDELLM"), os.environ.get("STARWATT_AIPERF"))


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("tool", TOOLS, ids=lambda one: one.name)
def test_joules_by_a_tools_file_made_anew_are_those_by_our_own_trace(tmp_path: Path, tool: Tool) -> None:
    (tmp_path / "captured").mkdir()
    theirs, ours, true = beside(capture(tool, tmp_path / "captured"), tmp_path / "runs")
    assert theirs.lo <= ours.value <= theirs.hi
    assert theirs.lo <= true <= theirs.hi
