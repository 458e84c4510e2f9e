"""Paths of ours that pages name in backticks exist, and so do the names in the files that they are said to be in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "decisions").glob("*.md")]
)
OURS = re.compile(
    r"`((?:study|analysis|server|loadgen|configs|traces|tests|benchmarks|scripts|deploy|docs)/[\w./-]+)`"
)
WITHIN = re.compile(r"`([\w./-]+/[\w-]+\.py)`\s\(((?:`\w+`(?:,\s)?)+)\)")
"""A file, and in brackets behind it what is in it."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_that_a_page_names_exist(page: Path) -> None:
    if page.name == "CHANGELOG.md":  # it says what was, too
        pytest.skip("a history may name what has gone")
    named = OURS.findall(page.read_text(encoding="utf-8"))
    gone = [path for path in named if not (ROOT / path).exists() and not list(ROOT.glob(f"{path}*"))]
    assert gone == []


def named_within() -> list[tuple[str, str, str]]:
    """(page, file, name) of all that pages place in a file."""
    return [
        (str(page.relative_to(ROOT)), file, name)
        for page in PAGES
        for file, names in WITHIN.findall(page.read_text(encoding="utf-8"))
        for name in re.findall(r"\w+", names)
    ]


def test_names_that_a_page_places_in_a_file_are_in_it() -> None:
    placed = named_within()
    assert len(placed) > 20
    gone = [
        (page, file, name)
        for page, file, name in placed
        if not re.search(
            rf"^\s*(?:(?:async )?def |class )?{name}\b",
            (ROOT / file).read_text(encoding="utf-8"),
            re.MULTILINE,
        )
    ]
    assert gone == []
