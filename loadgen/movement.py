"""Watch whether the requests that count (all but filler) still get somewhere: filler must not hide that they don't."""

from __future__ import annotations

from collections.abc import Callable

from loadgen.clients.exchange import Exchange
from traces.clock import now_ns

_LOOK_NS = 1_000_000_000


class Movement:
    """Watch the warm-up and measured requests that are under way."""

    def __init__(self, look: Callable[[], None]) -> None:
        """``look`` takes what has arrived of answers under way; it is called only when nothing has for a while."""
        self._look = look
        self._awaited: dict[int, Exchange] = {}
        self._moved_ns = now_ns()

    def begun(self, number: int, exchange: Exchange) -> None:
        """Note that a request was handed out."""
        self._awaited[number] = exchange
        self._moved_ns = now_ns()

    def ended(self, number: int) -> None:
        """Note that it ended, in one way or another; one that was never begun here is none of ours."""
        if self._awaited.pop(number, None) is not None:
            self._moved_ns = now_ns()

    @property
    def quiet_s(self) -> float:
        """Say how long none has begun, got anything or ended, while there are some; else 0."""
        if not self._awaited:
            return 0.0
        if now_ns() - self._last_ns() > _LOOK_NS:
            self._look()
        return (now_ns() - self._last_ns()) * 1e-9

    def _last_ns(self) -> int:
        arrived_ns = (exchange.pieces_ns[-1] for exchange in self._awaited.values() if exchange.pieces_ns)
        return max(self._moved_ns, max(arrived_ns, default=0))
