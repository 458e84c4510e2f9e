"""Put back boards that an earlier study has left set, since it was killed."""

from __future__ import annotations

from collections.abc import Callable

from server.power.control.put_back import put_back_left


def put_back_what_was_left(tell: Callable[[str], None]) -> None:
    """Put them back; where that is not allowed, it is said by whom it can be done.

    Raises:
        StarwattError: what they were cannot be read, or a driver fails.
    """
    for board in put_back_left():
        if not board.held:
            tell(f"left by an earlier study: {board.words}")
