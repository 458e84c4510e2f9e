"""Token counts as recordings have them: whole numbers, also with a decimal point and zeros behind it."""

from __future__ import annotations

import re

from configs.files.strict import MOST_TOKENS
from starwatt_errors import UsageError

_WHOLE = re.compile(r"(\d{1,9})(?:\.0*)?", re.ASCII)
_LONGEST = 40


def tokens_of(where: str, text: str) -> int:
    """Tokens of a prompt or an answer.

    Raises:
        UsageError: it is no whole number from 0 to ``MOST_TOKENS``; the message begins with ``where``.
    """
    found = _WHOLE.fullmatch(text.strip())
    if found is None or int(found[1]) > MOST_TOKENS:
        raise UsageError(
            f"{where}: takes a whole number of tokens, from 0 to {MOST_TOKENS} (given: {text[:_LONGEST]!r})"
        )
    return int(found[1])
