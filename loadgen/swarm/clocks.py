"""The workers' clocks beside the master's: questions and answers as Locust's own messages.

Imported by ``loadgen/locustfile.py`` alone, since Locust patches the standard library.
"""

from __future__ import annotations

from typing import Any

from gevent.event import AsyncResult

from starwatt_errors import LoadError
from traces.clock import boot_id, now_ns
from traces.remote import PowerClock, Told

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
        """Measure a worker's clock minus ours, by the quickest of some questions; ``end`` is not known yet.

        Raises:
            LoadError: it does not answer.
        """

        def ask() -> Told:
            self._answer = AsyncResult()
            self._runner.send_message(_ASK, None, client)
            told = self._answer.wait(timeout=_PATIENCE_S)
            if told is None:
                raise LoadError(f"Locust worker {client} does not tell its clock")
            return Told(**told)

        return PowerClock.measured(ask, _EXCHANGES)

    def _heed(self, msg: Any, **_: Any) -> None:
        self._answer.set({**msg.data, "had_ns": now_ns()})


def tell_clock(runner: Any) -> None:
    """Answer, at the worker's side, whenever the master asks."""

    def answer(**_: Any) -> None:
        received_ns = now_ns()
        runner.send_message(_TOLD, {"received_ns": received_ns, "boot_id": boot_id(), "sent_ns": now_ns()})

    runner.register_message(_ASK, answer)
