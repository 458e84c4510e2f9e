"""Print a service's complaints: a line each, and so few a minute that strangers cannot fill a disk with them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from traces.clock import now_ns

MOST = 20
_EVERY_S = 60.0
_LONGEST = 300
_LIBRARIES = ("asyncio", "aiohttp")


def _to_stderr(line: str) -> None:
    with suppress(OSError, ValueError):  # a full disk, a reader that has gone
        print(line, file=sys.stderr, flush=True)  # noqa: T201


class Complaints:
    """Writes at most ``MOST`` lines a minute, and in the next one how many there were beyond."""

    def __init__(self, write: Callable[[str], None] = _to_stderr, every_s: float = _EVERY_S) -> None:
        self._write, self._every_ns = write, round(every_s * 1e9)
        self._since_ns = now_ns()
        self._written = self._unwritten = 0

    def say(self, words: str) -> None:
        """Print one line; what a stranger sent is part of it, so nothing in it moves a terminal's cursor."""
        if now_ns() - self._since_ns > self._every_ns:
            self.close()
            self._since_ns, self._written = now_ns(), 0
        if self._written >= MOST:
            self._unwritten += 1
            return
        self._written += 1
        shown = "".join(mark if mark.isprintable() else " " for mark in words)
        self._write(" ".join(shown.split())[:_LONGEST])

    def close(self) -> None:
        """Say how many there were beyond."""
        if self._unwritten:
            self._write(f"and {self._unwritten} more like these")
        self._unwritten = 0

    @contextmanager
    def of_libraries(self) -> Iterator[logging.Logger]:
        """Give a logger for a server's own complaints; those of asyncio and aiohttp come here too, for the block."""
        handler = _Handler(self)
        logger = logging.Logger(__name__)
        logger.addHandler(handler)
        named = [logging.getLogger(name) for name in _LIBRARIES]
        for library_logger in named:
            library_logger.addHandler(handler)
        try:
            yield logger
        finally:
            for library_logger in named:
                library_logger.removeHandler(handler)


class _Handler(logging.Handler):
    def __init__(self, complaints: Complaints) -> None:
        super().__init__(logging.WARNING)
        self._complaints = complaints

    def emit(self, record: logging.LogRecord) -> None:
        words = record.getMessage().partition("\n")[0]
        error = record.exc_info[1] if record.exc_info else None
        self._complaints.say(words if error is None else f"{words}: {type(error).__name__}: {error}")
