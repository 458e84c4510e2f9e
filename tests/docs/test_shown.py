"""What README and docs show of the command line is what it takes, and every block says what it is."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from study.cli.app import app
from tests.docs.listed import NOT_TYPED
from tests.docs.pages import LANGUAGES, PAGES, ROOT, all_blocks, blocks, inline

GROUP: Any = typer.main.get_command(app)
SYNOPSES = {"docs/reference/command-line.md"}
"""Pages whose blocks of text say what may be written, in brackets, rather than what to type."""


def arguments(command: str) -> Iterator[list[str]]:
    """Of every ``starwatt`` that a command holds."""
    for part in command.replace("\\\n", " ").split("&&"):
        words = shlex.split(part, comments=True)
        while words and re.fullmatch(r"\w+=\S*", words[0]):
            del words[0]
        if words and words[0] == "starwatt":
            yield words[1:]


def typed() -> list[Any]:
    """Every command, named by its page."""
    return [
        pytest.param(words, id=f"{block.page}: {' '.join(words)[:60]}")
        for block in all_blocks()
        for command in block.commands
        for words in arguments(command)
    ]


@pytest.mark.parametrize("words", typed())
def test_every_command_that_is_shown_is_one(words: list[str]) -> None:
    """Parsed as the command line would; ``test_commands.py`` types it."""
    assert words[0] in GROUP.commands
    GROUP.commands[words[0]].make_context(words[0], list(words[1:]))


def test_the_pages_show_most_commands() -> None:
    shown = {words[0] for block in all_blocks() for one in block.commands for words in arguments(one)}
    assert {
        "build", "serve", "load", "run", "grade", "analyze", "report", "compare", "verify", "doctor", "meter",
    } <= shown  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_flags_that_are_named_in_a_sentence_are_there(page: Path) -> None:
    for span in inline(page):
        words = span.split()
        if len(words) > 1 and words[0] == "starwatt" and words[1] in GROUP.commands:
            known = {
                name for one in GROUP.commands[words[1]].params for name in (*one.opts, *one.secondary_opts)
            }
            for flag in re.findall(r"--[\w-]+", span):
                assert flag in known, f"{span}: {words[1]} has no {flag}"
        elif len(words) > 1 and words[0] == "starwatt":
            assert words[1].isupper() or words[1] == "--help", f"{span}: there is no such command"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_says_what_it_is_and_no_command_hides_in_a_text(page: Path) -> None:
    for block in blocks(page):
        assert block.language in LANGUAGES, f"a block is none of {', '.join(LANGUAGES)}: {block.text[:60]}"
        if block.language == "text" and block.page not in SYNOPSES:
            first = block.text.split()[0]
            assert first not in ("starwatt", "make", "git", "export", "$"), block.text


def test_what_is_not_typed_has_a_reason_and_each_test_that_stands_for_it_is_there() -> None:
    for reason in NOT_TYPED.values():
        assert len(reason) > 8
        for path in re.findall(r"tests/\S+\.py", reason):
            assert (ROOT / path).is_file(), path
