"""The workers' clocks beside the master's: questions and answers as Locust's own messages.

Imported by ``loadgen/locustfile.py`` alone, since Locust patches the standard library.
"""

from __future__ import annotations

from typing import Any

from gevent.event import AsyncResult

from starwatt_errors import LoadError
from traces.clock import boot_id, now_ns
from traces.remote import ClockOffset, PowerClock

_ASK, _TOLD = "starwatt_clock", "starwatt_clock_told"
_EXCHANGES = 30
_PATIENCE_S = 10.0


class Clocks:
    """The master's side."""

    def __init__(self, runner: Any) -> None:
        self._runner = runner
        self._answer: AsyncResult = AsyncResult()
        runner.register_message(_TOLD, self._heed)

    def measure(self, client: str) -> PowerClock:
        """A worker's clock minus ours, by the quickest of some questions; ``end`` is not known yet.

        With t0, t3 our times of asking and of having the answer, and t1, t2 its times of question and answer, the
        offset is ((t1 - t0) + (t2 - t3)) / 2, and the truth at most half of the round trip away (RFC 5905).

        Raises:
            LoadError: it does not answer.
        """
        best: ClockOffset | None = None
        boot = ""
        for _ in range(_EXCHANGES):
            self._answer = AsyncResult()
            asked_ns = now_ns()
            self._runner.send_message(_ASK, None, client)
            told = self._answer.wait(timeout=_PATIENCE_S)
            if told is None:
                raise LoadError(f"Locust worker {client} does not tell its clock")
            had_ns, boot = told["had_ns"], told["boot_id"]
            round_trip_ns = max((had_ns - asked_ns) - (told["sent_ns"] - told["received_ns"]), 0)
            offset = ClockOffset(
                at_ns=(asked_ns + had_ns) // 2,
                offset_ns=((told["received_ns"] - asked_ns) + (told["sent_ns"] - had_ns)) // 2,
                uncertainty_ns=round_trip_ns // 2 + 1,
                exchanges=_EXCHANGES,
            )
            if best is None or offset.uncertainty_ns < best.uncertainty_ns:
                best = offset
        assert best is not None  # noqa: S101 -- at least one exchange
        return PowerClock(boot_id=boot, start=best)

    def _heed(self, msg: Any, **_: Any) -> None:
        self._answer.set({**msg.data, "had_ns": now_ns()})


def tell_clock(runner: Any) -> None:
    """The worker's side: answer whenever the master asks."""

    def answer(**_: Any) -> None:
        received_ns = now_ns()
        runner.send_message(_TOLD, {"received_ns": received_ns, "boot_id": boot_id(), "sent_ns": now_ns()})

    runner.register_message(_ASK, answer)
