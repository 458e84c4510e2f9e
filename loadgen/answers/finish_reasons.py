"""What a finish reason means: that an answer is finished, that it goes on, or that the engine gave it up."""

from __future__ import annotations

import re

_NONE_YET = frozenset({"null", "none", "not_finished", "unfinished", "in_progress"})
_GAVE_UP = re.compile(
    "abort|cancel|disconnect|error|evict|exhaust|fail|insufficient|interrupt|overload|preempt|shut.?down"
    "|time.?d?.?out|unavailable",
    re.IGNORECASE,
)


def is_said(reason: str | None) -> bool:
    """Say whether this is a reason: some servers write that there is none yet as a word, beside null and ""."""
    return reason is not None and reason != "" and reason.lower() not in _NONE_YET


def gave_up(reason: str) -> bool:
    """Say whether an engine did not finish: every engine has words of its own for that, of the same few stems."""
    return _GAVE_UP.search(reason) is not None
