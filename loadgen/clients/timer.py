"""Waking at an instant: the event loop's own timers are of milliseconds, the kernel's are of nanoseconds."""

from __future__ import annotations

import asyncio
import ctypes
import os
from time import CLOCK_MONOTONIC, monotonic_ns

_ABSOLUTE = 1  # TFD_TIMER_ABSTIME
_LIBC = ctypes.CDLL(None, use_errno=True)  # os.timerfd_create comes with Python 3.13


class _Instants(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_long) for name in ("every_s", "every_ns", "due_s", "due_ns"))


class DueTimer:
    """One waiter at a time; a loop that spins for the last part of a millisecond would cost as much as it sends."""

    def __init__(self) -> None:
        self._fd: int = _LIBC.timerfd_create(CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._instants = _Instants()
        self._due: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._expired)

    async def until(self, due_ns: int) -> None:
        """Return at ``due_ns`` of ``CLOCK_MONOTONIC``, never before."""
        if due_ns <= monotonic_ns():
            return
        self._instants.due_s, self._instants.due_ns = divmod(due_ns, 1_000_000_000)
        self._due = self._loop.create_future()
        _LIBC.timerfd_settime(self._fd, _ABSOLUTE, ctypes.byref(self._instants), None)
        await self._due

    def close(self) -> None:
        """Give the descriptor back."""
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def _expired(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:  # set anew since
            return
        if self._due is not None and not self._due.done():
            self._due.set_result(None)
