"""The page of runs that share nothing says what each has, and has no table without rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.compare.runs import compare
from analysis.report.comparison import write_comparison
from analysis.tables import analyze
from tests.golden.world import LOADS, World


@pytest.mark.parametrize("shared", [True, False])
def test_a_page_of_runs_with_nothing_in_common_says_so_and_has_no_empty_table(
    tmp_path: Path, shared: bool
) -> None:
    worlds = [
        World(tmp_path / name, variants=("bf16",), loads=LOADS[place : place + 1], blocks=1, tasks=4).build()
        for name, place in (("before", 0), ("after", 0 if shared else 1))
    ]
    for world in worlds:
        analyze(world.run)
    page = write_comparison(compare([world.run for world in worlds]), tmp_path / "c.html")
    text = page.read_text(encoding="utf-8")
    assert ("after and before have nothing in common: before has" in text) is not shared
    assert ('<a href="#tables">' in text) is shared
    assert "nothing differs" not in text  # what neither says may differ
    assert "<tbody>\n</tbody>" not in text
