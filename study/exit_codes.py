"""Name the exit codes that no error carries (starwatt_errors.py has the others), and word what an interrupt leaves."""

from __future__ import annotations

INVALID = 3
"""Something was measured, and a figure of it is invalid."""
WORSE = 4
"""``compare`` was given a bound (``--fail-above``), and the runs are worse."""
INTERRUPTED = 130
"""Ctrl-C or SIGTERM ended the command."""
FAILED = 1
"""The command did not do what it was asked to do."""

_INTERRUPTED_WORDS = {
    "run": "interrupted; what was measured is kept, and the same command resumes",
    "load": "interrupted; what was measured is kept, if anything was",
    "build": "interrupted; checkpoints that were finished are kept",
    "serve": "stopped",
    "meter": "stopped",
}


def interrupted_words(command: str | None) -> str:
    """Say what an interrupted command leaves; ``serve`` and ``meter`` end in no other way."""
    return _INTERRUPTED_WORDS.get(command or "", "interrupted")
