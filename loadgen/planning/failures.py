"""Slow a closed load down after failures: a place waits longer after each, and the load ends where none gets through.

An open load goes by its schedule, whatever the server does.
"""

from __future__ import annotations

import email.utils
import math
from collections import Counter
from datetime import UTC, datetime

NOT_SENT = "not sent: the load had stopped, as "
"""How the error begins of a request that was planned, and not made any more."""
_FIRST_S, _LONGEST_S = 0.1, 2.0
_LONGEST_ASKED_S = 60.0
_MOST_IN_A_ROW = 20


class Failures:
    """Count the failures of one load, or of one worker's share of it."""

    def __init__(self, places: int) -> None:
        self._most = _MOST_IN_A_ROW * places
        self._in_a_row = 0
        self._at_place: Counter[int] = Counter()
        self.gave_up: str | None = None
        """Why no more requests are sent; None: they are."""

    def after(self, place: int, status: str, words: str | None, retry_after: str | None) -> float:
        """Return the seconds that a place waits after a request: 0 after a good one, twice as long after each failure.

        Args:
            place: which of the load's places it was.
            status: how the request ended, one of ``traces.schemas.STATUSES``.
            words: what the server said of a failure.
            retry_after: the server's wish, which comes first.
        """
        if status == "ok":
            self._in_a_row = self._at_place[place] = 0
            return 0.0
        self._in_a_row += 1
        if self._in_a_row >= self._most:
            said = f": {words}" if words else ""
            self.gave_up = f"{self._in_a_row} requests in a row failed; the last was {status}{said}"
        wait_s = min(_FIRST_S * 2.0 ** self._at_place[place], _LONGEST_S)
        self._at_place[place] = min(self._at_place[place] + 1, _MOST_IN_A_ROW)
        return max(wait_s, _asked_s(retry_after))


def _asked_s(retry_after: str | None) -> float:
    """Seconds, from a number or a date (RFC 9110, 10.2.3); what is neither asks for nothing."""
    if not retry_after:
        return 0.0
    try:
        wait_s = float(retry_after)
    except ValueError:
        try:
            until = email.utils.parsedate_to_datetime(retry_after)
        except (ValueError, OverflowError):
            return 0.0
        wait_s = (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(wait_s, 0.0), _LONGEST_ASKED_S) if math.isfinite(wait_s) else 0.0
