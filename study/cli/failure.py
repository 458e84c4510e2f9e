"""How a command says that it failed to a script that asked for JSON."""

from __future__ import annotations

import contextlib
import json
import sys


def print_if_json(error: str, exit_code: int) -> None:
    """Print the failure as one JSON object where the command line has ``--json``; a person reads stderr."""
    if "--json" in sys.argv:
        with contextlib.suppress(OSError):
            print(json.dumps({"error": error, "exit_code": exit_code}))  # noqa: T201
