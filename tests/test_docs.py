"""What README and docs tell people to type is what the command line and the study files take."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from configs.schema import Study
from study.cli import app

ROOT = Path(__file__).resolve().parent.parent
SYNOPSES = {"design.md", "command-line.md"}  # what may be written, in brackets, rather than what to type
PAGES = [
    ROOT / "README.md",
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page.name not in SYNOPSES),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Language and content of each fenced block."""
    yield from FENCE.findall(page.read_text(encoding="utf-8"))


def commands(page: Path) -> Iterator[list[str]]:
    """The arguments of every ``starwatt`` line that is typed."""
    for language, content in blocks(page):
        if language not in ("", "sh", "bash", "console"):
            continue
        for line in content.replace("\\\n", " ").splitlines():
            for part in line.split("&&"):
                words = shlex.split(part, comments=True) if part.strip().startswith("starwatt ") else []
                if words and "..." not in words:
                    yield words[1:]


def typed() -> list[Any]:
    """Every command, named by its page."""
    return [
        pytest.param(words, id=f"{page.name}: {' '.join(words)[:60]}")
        for page in PAGES
        for words in commands(page)
    ]


@pytest.mark.parametrize("words", typed())
def test_every_command_that_is_shown_is_one(words: list[str]) -> None:
    """Parsed as the command line would, and not run."""
    group: Any = typer.main.get_command(app)
    assert words[0] in group.commands
    group.commands[words[0]].make_context(words[0], words[1:])


def test_the_pages_show_most_commands() -> None:
    shown = {words[0] for page in PAGES for words in commands(page)}
    assert {
        "build",
        "serve",
        "load",
        "run",
        "grade",
        "analyze",
        "report",
        "compare",
        "verify",
        "doctor",
    } <= shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_study_that_is_shown_is_one(page: Path) -> None:
    for language, content in blocks(page):
        if language != "yaml":
            continue
        shown = yaml.safe_load(content)
        if isinstance(shown, dict) and {"name", "models", "loads"} <= set(shown):
            Study.model_validate(shown)
