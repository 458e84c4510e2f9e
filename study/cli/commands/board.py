"""``starwatt board``."""

from __future__ import annotations

from typing import Annotated

import typer

from study.cli.options import JsonFlag, exit_with


def board(
    restore: Annotated[
        bool,
        typer.Option("--restore", help="Put boards back that a study left set when it was killed (root)."),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show what boards are set to, what they allow, and which a study has set; put back what one left."""
    from study.cli import board as boards

    exit_with(boards.restore(as_json=as_json) if restore else boards.show(as_json=as_json))
