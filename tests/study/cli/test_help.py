"""`starwatt --help` is a manual page, and nothing in it is out of date."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from study.cli import help as manual
from study.cli.app import app
from study.records import this_node

ROOT = Path(__file__).resolve().parents[3]
GROUP: Any = typer.main.get_command(app)
SECTIONS = (
    "NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "FILES", "ENVIRONMENT", "EXIT STATUS", "EXAMPLES", "SEE ALSO",
)  # fmt: skip
ROOMS = ("analysis", "configs", "loadgen", "server", "study", "traces")


def said(*arguments: str) -> str:
    """What a command prints, on 80 columns."""
    done = CliRunner().invoke(app, [*arguments], env={"COLUMNS": "80"}, terminal_width=80)
    assert done.exit_code == 0, done.output
    return done.output


def test_its_sections_are_those_of_a_manual_page_in_their_order() -> None:
    text = said("--help")
    places = [text.index(f"{title}:\n") for title in SECTIONS]
    assert all(first < second for first, second in pairwise(places))
    assert all(len(line) <= 80 for line in text.splitlines())


def test_every_command_has_a_job_and_examples() -> None:
    grouped = [name for names in manual.JOBS.values() for name in names]
    assert sorted(grouped) == sorted(GROUP.commands) == sorted(manual.EXAMPLES)
    text = said("--help")
    assert all(re.search(rf"^ +{name}  ", text, flags=re.MULTILINE) for name in grouped)


@pytest.mark.parametrize("name", sorted(manual.EXAMPLES))
def test_a_commands_help_ends_with_its_examples_each_on_its_line(name: str) -> None:
    ending = said(name, "--help").partition("Examples:\n")[2].splitlines()
    assert [line.strip() for line in ending if line.strip()] == list(manual.EXAMPLES[name])


@pytest.mark.parametrize(
    "line", sorted({*manual.SESSION, *(line for lines in manual.EXAMPLES.values() for line in lines)})
)
def test_every_example_is_what_the_command_line_takes(line: str) -> None:
    program, name, *words = shlex.split(line)
    assert program == "starwatt"
    GROUP.commands[name].make_context(name, words)


def test_every_variable_that_the_code_reads_is_there_and_no_other() -> None:
    named = re.compile(r"\"(STARWATT_[A-Z_]+|HUMANEVAL_OVERRIDE_PATH|CUDA_VISIBLE_DEVICES)\"")
    read = {
        variable
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if path.name != "manual.py"
        for variable in named.findall(path.read_text(encoding="utf-8"))
    }
    assert read - {this_node.VARIABLE} == set(manual.ENVIRONMENT)  # which one process of ours tells another


def test_the_files_that_it_points_at_are_there() -> None:
    pointed = [
        name for name in (*manual.SEE_ALSO, *manual.FILES) if name.startswith(("docs/", "README", "configs"))
    ]
    assert len(pointed) >= 6
    assert all((ROOT / name).exists() for name in pointed)


def test_without_a_command_the_manual_is_shown_and_nothing_was_done() -> None:
    done = CliRunner().invoke(app, [])
    assert done.exit_code == 2
    assert "SYNOPSIS" in done.output
