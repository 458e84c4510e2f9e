"""Paths of ours that pages name in backticks exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "decisions").glob("*.md")]
)
OURS = re.compile(
    r"`((?:study|analysis|server|loadgen|configs|traces|tests|benchmarks|scripts|deploy|docs)/[\w./-]+)`"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_that_a_page_names_exist(page: Path) -> None:
    if page.name == "CHANGELOG.md":  # it says what was, too
        pytest.skip("a history may name what has gone")
    named = OURS.findall(page.read_text(encoding="utf-8"))
    gone = [path for path in named if not (ROOT / path).exists() and not list(ROOT.glob(f"{path}*"))]
    assert gone == []
