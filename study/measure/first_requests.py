"""Fail a cell at once whose first requests all fail alike, with the server's own words: no hour is spent on it."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from starwatt_errors import LoadError, TraceError, alike
from traces.pieces import open_trace
from traces.streams import has_trace

_ENOUGH = 10
"""Requests that must have failed alike: a server that sheds load refuses some and answers others."""
_LOOK_S = 1.0
_LONGEST_WORDS = 600


class FirstRequests:
    """Watch the requests of one cell until one of them is answered."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._answered = False
        self._looked_s = time.monotonic()

    def check(self) -> None:
        """Look once a second at what has ended.

        Raises:
            LoadError: the first requests have all failed alike.
        """
        if self._answered or time.monotonic() - self._looked_s < _LOOK_S:
            return
        self._looked_s = time.monotonic()
        self._look(_ENOUGH)

    def check_all(self) -> None:
        """Look at what there is, now that the load has ended.

        Raises:
            LoadError: no request was answered.
        """
        if not self._answered:
            self._look(1)

    def _look(self, enough: int) -> None:
        ended = _ended(self._folder)
        if ended is None:
            return
        self._answered = bool(pc.any(pc.equal(ended["status"], "ok")).as_py())
        if self._answered or ended.num_rows < enough:
            return
        failed = [(row["status"], row["http_status"], row["error"] or "") for row in ended.to_pylist()]
        if enough > 1 and len({(status, code) for status, code, _ in failed}) > 1:
            return
        [((status, code, words), _)] = Counter(failed).most_common(1)
        told = f"HTTP status {code}" if code is not None and str(code) not in words else status
        refused = code is not None  # by the server itself; a connection that fails may be there again
        raise LoadError(
            f"no request was answered, and {len(failed)} have failed: {told}: {words[:_LONGEST_WORDS]}",
            cause=alike(f"no request was answered: {status} {code} {words}") if refused else None,
        )


def _ended(folder: Path) -> pa.Table | None:
    """Read status and words of the requests that have ended by themselves; None where none is written yet."""
    if not has_trace(folder, "requests"):
        return None
    try:
        table = open_trace(folder, "requests").read(["status", "http_status", "error"])
    except (TraceError, OSError):  # it became Parquet between the two, or has no schema yet
        return None
    return table.filter(pc.not_equal(table["status"], "aborted"))
