"""Let the workers of one load tell each other where they are, through the process that started them.

Each computes the whole schedule and takes its share. Two things they can't know alone: when to begin, and when the
last measured request of all has ended, until which every one of them sends filler. A worker says ``ready`` and
``measured_ended`` on its standard output; it is told ``start NS`` (CLOCK_MONOTONIC) and ``over`` on its input.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from traces.clock import now_ns

START_AHEAD_NS = 80_000_000
"""From the word that a load begins to its beginning: every worker has heard of it, and the first requests are ready."""


class Crew(Protocol):
    """The workers of a load, as one of them sees them."""

    number: int

    async def start_ns(self) -> int:
        """Say when the load begins, in ns of CLOCK_MONOTONIC; the caller is ready when it asks."""

    async def all_measured_ended(self) -> None:
        """Say that this worker's measured requests have ended, and wait for those of all others."""


class Alone:
    """The only worker of a load."""

    number = 0

    async def start_ns(self) -> int:
        """Return an instant that leaves time for the first request to be prepared."""
        return now_ns() + START_AHEAD_NS

    async def all_measured_ended(self) -> None:
        """Return at once."""


class OneOfSeveral:
    """A worker with others beside it; ``stop`` is set when the process that started them is gone."""

    def __init__(
        self,
        number: int,
        say: Callable[[dict[str, object]], None],
        told: asyncio.StreamReader,
        stop: asyncio.Event,
    ) -> None:
        self.number = number
        self._say = say
        self._stop = stop
        self._start_ns: int | None = None
        self._started = asyncio.Event()
        self._over = asyncio.Event()
        self._listening = asyncio.create_task(self._listen(told))

    async def start_ns(self) -> int:
        """Wait for the instant at which the starting process has all begin; now, if it wants an end instead."""
        self._say({"ready": True})
        await self._unless_stopped(self._started)
        return now_ns() if self._start_ns is None else self._start_ns

    async def all_measured_ended(self) -> None:
        """Wait until the process that started the workers says so."""
        self._say({"measured_ended": True})
        await self._unless_stopped(self._over)

    async def _unless_stopped(self, event: asyncio.Event) -> None:
        waiting = [asyncio.create_task(event.wait()), asyncio.create_task(self._stop.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    async def _listen(self, told: asyncio.StreamReader) -> None:
        async for line in told:
            word, _, value = line.decode().strip().partition(" ")
            if word == "start":
                self._start_ns = int(value)
                self._started.set()
            elif word == "over":
                self._over.set()
        self._stop.set()
