"""The one root of everything starwatt raises on purpose, below every room of the house.

    StarwattError                   exit code 1
    ├── UsageError                  exit code 2: a command line or a config file is wrong
    ├── TraceError                  a file of a run is missing, torn beyond reading, or of another schema
    ├── BuildError                  a checkpoint could not be made
    ├── EngineError                 a server did not start, died, or did not stop
    ├── MeterError                  a power meter is not there or failed
    ├── LoadError                   the load generator could not do its work at all
    ├── GradingError                the grader itself (never a candidate) failed
    └── RunError                    a study could not go on

The command line prints the message alone, without a traceback, and exits with ``exit_code``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

_CHANGES = re.compile(r"/\S+|0x[0-9a-fA-F]+|\d+")


class StarwattError(Exception):
    """A failure with a message for the person who ran the command: what is wrong, and what to do.

    ``cause`` is what lies behind it, without times and numbers, where a new try meets it again; None: not known.
    """

    exit_code = 1

    def __init__(self, *words: object, cause: str | None = None) -> None:
        super().__init__(*words)
        self.cause = cause


class UsageError(StarwattError):
    """A command line or a config file is wrong; names the file, the field, and what it takes."""

    exit_code = 2


class TraceError(StarwattError):
    """A file of a run is missing, torn beyond reading, or of a schema this version does not read."""


class BuildError(StarwattError):
    """A checkpoint could not be made."""


class EngineError(StarwattError):
    """A server did not start, died, or did not stop; carries its last lines of output."""


class MeterError(StarwattError):
    """A power meter is not there, not permitted, or failed while it was read."""


class LoadError(StarwattError):
    """The load generator could not do its work at all (single failed requests are rows, not errors)."""


class GradingError(StarwattError):
    """The grader itself failed; what a candidate does is a verdict, never this."""


class RunError(StarwattError):
    """A study could not go on."""


def alike(words: str) -> str:
    """``words`` without what differs between two failures of one cause: numbers, times, addresses and paths."""
    return _CHANGES.sub("#", words)


def first_few(names: Sequence[str], most: int) -> str:
    """Name the first of many, and say how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def counted(number: int, what: str) -> str:
    """Write a number of things: ``1 cell``, ``2 cells``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def did_you_mean(given: object, known: Iterable[str]) -> str:
    """Return what ends a refusal of a name: the nearest of those there are; empty where none is near."""
    near = difflib.get_close_matches(str(given), list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def reason_of(error: BaseException) -> str:
    """Return why the system, or a library, could not do something: its words, without a number and without Python's."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
