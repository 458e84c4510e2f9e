"""Keep what a child says on its way, through a pipe: a disk that is full does not silence it."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from typing import IO

_MOST_LINES = 200
_LONGEST = 1000
_CLOSING_S = 5.0


class Said:
    """The last lines of a pipe, which a thread of its own empties: a full one would hold the child up."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        self._lines: deque[str] = deque(maxlen=_MOST_LINES)
        self._pipe = pipe
        self._thread = threading.Thread(target=self._follow, name="said", daemon=True)
        self._thread.start()

    def last(self, wait_s: float, count: int = 5) -> str:
        """Return the last lines, indented, after waiting so long for the pipe's end, so that none is missing."""
        self._thread.join(wait_s)
        return "\n".join(f"  {line}" for line in list(self._lines)[-count:])

    def close(self) -> None:
        """Close the pipe, whose other end has gone."""
        self._thread.join(_CLOSING_S)
        if self._pipe is not None and not self._thread.is_alive():
            self._pipe.close()

    def _follow(self) -> None:
        with suppress(OSError, ValueError):  # closed under our hands
            while self._pipe is not None and (line := self._pipe.readline(_LONGEST)):
                text = line.decode(errors="replace").rstrip()
                if text:
                    self._lines.append(text)
