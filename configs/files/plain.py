"""Check plain data out of YAML and JSON: what both may hold, and what neither may."""

from __future__ import annotations

import math
import re
from typing import Any

DEEPEST = 64
"""Levels of lists and mappings in each other."""
MOST_DIGITS = 40
"""The most digits that a number in a configuration file may have."""
_HALF = re.compile("[\ud800-\udfff]")


class NotPlainError(Exception):
    """Say that a text is no YAML or JSON, or holds what a file of ours does not take; with its line if known."""

    def __init__(self, words: str, line: int | None = None) -> None:
        super().__init__(words)
        self.words = words
        self.line = line


def check_text(text: str, line: int | None = None) -> str:
    """Return ``text``, unless it holds what no file and no request can hold.

    Raises:
        NotPlainError: it holds half of a character (a lone surrogate).
    """
    if not text.isascii() and _HALF.search(text):
        raise NotPlainError("holds half of a character (a lone surrogate), which no file can hold", line)
    return text


def check_plain(data: Any, *, most_digits: int | None = None, left: int = DEEPEST) -> None:
    """Raises NotPlainError where lists and mappings are nested too deeply, a text is none, or a number is too long."""
    if isinstance(data, str):
        check_text(data)
    elif isinstance(data, dict | list):
        if left == 0:
            raise too_deep()
        for name in data if isinstance(data, dict) else ():
            check_text(name)
        for value in data.values() if isinstance(data, dict) else data:
            check_plain(value, most_digits=most_digits, left=left - 1)
    elif most_digits is not None and isinstance(data, int) and abs(data) >= 10**most_digits:
        raise too_long()


def finite(data: Any) -> bool:
    """Say whether plain data holds neither an infinity nor what is no number."""
    if isinstance(data, dict | list):
        return all(finite(value) for value in (data.values() if isinstance(data, dict) else data))
    return not isinstance(data, float) or math.isfinite(data)


def too_deep(line: int | None = None) -> NotPlainError:
    """Return the error of a document that is nested too deeply."""
    return NotPlainError(f"is nested more than {DEEPEST} levels deep", line)


def too_long(line: int | None = None) -> NotPlainError:
    """Return the error of a number that nobody can have meant."""
    return NotPlainError("holds a number of too many digits", line)
