"""Waiting for something with an end to it, and for a lock that another process holds."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(answer: Callable[[], T], timeout_s: float, *, poll_s: float) -> T:
    """Ask until the answer is true or the time is up; return the last answer."""
    deadline_s = time.monotonic() + timeout_s
    while not (last := answer()) and time.monotonic() < deadline_s:
        time.sleep(poll_s)
    return last


def ask_until(
    ask: Callable[[], T],
    silent: type[Exception],
    timeout_s: float,
    *,
    poll_s: float,
    waiting: Callable[[], None],
) -> T:
    """Ask again while ``silent`` is raised and there is time; return the answer, or raise the last such error."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            return ask()
        except silent:
            if time.monotonic() >= deadline_s:
                raise
        waiting()
        time.sleep(poll_s)


def took_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take the kernel's lock on an open file, unless another process holds it; ``shared``: beside others who share it.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
