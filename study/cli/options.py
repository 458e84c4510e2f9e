"""Declare, refuse and use the options that several commands have."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from starwatt_errors import StarwattError, UsageError
from study.progress.display import be_quiet

_GIVEN = "COMMANDLINE"
DEFAULT_MODEL = "bigcode/starcoder2-3b"
JsonFlag = Annotated[bool, Option("--json", help="Print JSON for a script.")]
RunDirectory = Annotated[Path, Argument(metavar="RUN", help="A run directory.")]
Quiet = Annotated[
    bool,
    Option("--quiet", "-q", callback=be_quiet, help="No progress: the answer alone, and what goes wrong."),
]
Model = Annotated[str, Option(help="Hub id, local path, or configs/architectures.")]


def refuse(context: typer.Context, parameters: Iterable[str], words: str) -> None:
    """Refuse each of these parameters of a command that the command line has.

    A flag that says nothing where it stands is refused by name: who gives one means something by it.

    Raises:
        UsageError: it has one; the message is its flag, then ``words``.
    """
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        flag = "/".join([*parameter.opts[:1], *parameter.secondary_opts[:1]])
        if parameter.name in parameters and source is not None and source.name == _GIVEN:
            raise UsageError(f"{flag} {words}")


def exit_with(code: int) -> None:
    """End the command with an exit code that is not 0."""
    if code:
        raise typer.Exit(code)


def make_folder(flag: str, folder: Path) -> None:
    """Make a folder where it is missing.

    Raises:
        UsageError: it is a file, or lies in one.
        StarwattError: the system does not let it be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(f"{flag} {folder}: takes a folder, and a file is in its place") from error
    except OSError as error:
        raise StarwattError(f"{flag} {folder}: cannot be made: {error.strerror}") from error
