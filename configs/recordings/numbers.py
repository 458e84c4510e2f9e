"""Read token counts as recordings have them: whole numbers, also with a decimal point and zeros behind it."""

from __future__ import annotations

import re

from configs.files.strict import MOST_TOKENS
from starwatt_errors import UsageError

_WHOLE = re.compile(r"(\d{1,9})(?:\.0*)?", re.ASCII)
_LONGEST = 40
_SHORT = 7  # digits that are fewer than those of MOST_TOKENS


def tokens_of(text: str, where: tuple[object, int, str]) -> int:
    """Read the tokens of a prompt or an answer.

    Raises:
        UsageError: it is no whole number from 0 to ``MOST_TOKENS``; ``where`` are file, line and field.
    """
    if len(text) < _SHORT and text.isascii() and text.isdigit():  # nearly every one of a million
        return int(text)
    match = _WHOLE.fullmatch(text.strip())
    if match is None or int(match[1]) > MOST_TOKENS:
        file, line, field = where
        raise UsageError(
            f"{file}:{line}: {field}: takes a whole number of tokens, from 0 to {MOST_TOKENS} "
            f"(given: {text[:_LONGEST]!r})"
        )
    return int(match[1])
