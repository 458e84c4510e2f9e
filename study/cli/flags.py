"""Flags that say nothing where they stand: refused by name, for who gives one means something by it."""

from __future__ import annotations

from collections.abc import Iterable

import typer

from starwatt_errors import UsageError

_GIVEN = "COMMANDLINE"


def refuse(context: typer.Context, parameters: Iterable[str], words: str) -> None:
    """Refuse each of these parameters of a command that the command line has.

    Raises:
        UsageError: it has one; the message is its flag, then ``words``.
    """
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        flag = "/".join([*parameter.opts[:1], *parameter.secondary_opts[:1]])
        if parameter.name in parameters and source is not None and source.name == _GIVEN:
            raise UsageError(f"{flag} {words}")
