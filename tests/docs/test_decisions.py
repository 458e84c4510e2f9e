"""A decision says whether it still holds, and since when."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

DECISIONS = ROOT / "docs" / "decisions"
PAGES = sorted(DECISIONS.glob("[0-9]*.md"))
STATUS = re.compile(
    r"\*Status: (in force since|superseded) \d{4}-\d{2}-\d{2}(; amended \d{4}-\d{2}-\d{2} \(.+\))?[.:]"
)


def status(page: Path) -> str:
    """The paragraph below the title, on one line."""
    title, second, *_ = page.read_text(encoding="utf-8").split("\n\n")
    assert title.startswith(f"# {page.name[:4]}: ")
    return " ".join(second.split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_decision_has_a_status_and_a_date(page: Path) -> None:
    assert STATUS.match(status(page)), f"{page.name}: below its title stands no status: {status(page)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_superseded_decision_names_what_holds_instead(page: Path) -> None:
    assert not status(page).startswith("*Status: superseded") or "](" in status(page)


def test_the_index_lists_every_decision_once() -> None:
    index = (DECISIONS / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[\d{4}\]\((\S+\.md)\)", index, flags=re.MULTILINE) == [
        page.name for page in PAGES
    ]
