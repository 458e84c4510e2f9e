"""Answers for scripts, on standard output: ``--json``."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable
from typing import Any


def print_json(answer: Any) -> None:
    """Print a command's answer as JSON."""
    print(json.dumps(answer, indent=2))  # noqa: T201


def print_answer(answer: Any, lines: Iterable[str], *, as_json: bool) -> None:
    """Print a command's answer: as JSON for a script, or line by line for a person."""
    if as_json:
        print_json(answer)
        return
    for line in lines:
        print(line)  # noqa: T201


def print_if_json(error: str, exit_code: int) -> None:
    """Print the failure as one JSON object where the command line has ``--json``; a person reads stderr."""
    if "--json" in sys.argv:
        with contextlib.suppress(OSError):
            print(json.dumps({"error": error, "exit_code": exit_code}))  # noqa: T201
