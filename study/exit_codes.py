"""Exit codes beyond those that errors carry (starwatt_errors.py), and what is said of an interrupt."""

from __future__ import annotations

INVALID = 3
"""Measured, but a figure is invalid."""
WORSE = 4
"""``compare --fail-above``: worse than the bound."""
INTERRUPTED = 130
"""Ctrl-C and SIGTERM."""
FAILED = 1

_INTERRUPTED_WORDS = {
    "run": "interrupted; what was measured is kept, and the same command goes on",
    "load": "interrupted; what was measured is kept, if anything was",
    "build": "interrupted; checkpoints that were finished are kept",
    "serve": "stopped",
    "meter": "stopped",
}


def interrupted_words(command: str | None) -> str:
    """What a command leaves that was interrupted; ``serve`` and ``meter`` end in no other way."""
    return _INTERRUPTED_WORDS.get(command or "", "interrupted")
