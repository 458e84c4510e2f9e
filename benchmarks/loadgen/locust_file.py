"""The same load by Locust, evenly paced by hand: its users take turns on one schedule.

Read by ``locust -f``; ``BENCH_RATE``, ``BENCH_COUNT`` and ``BENCH_OUT`` say what to do. First tokens are timed as well
as Locust can: by ``stream.readline``, since ``iter_content`` waits until a block is full.
"""

from __future__ import annotations

import itertools
import os
from time import monotonic_ns

import gevent
import numpy as np
from locust import FastHttpUser, events, task

_RATE, _COUNT = float(os.environ["BENCH_RATE"]), int(os.environ["BENCH_COUNT"])
_BODY = {"model": "m", "prompt": "def f():", "max_tokens": 64, "stream": True}
_SETTLE_NS = 2_000_000_000
_numbers = itertools.count()
_start_ns: list[int] = []
_answers: list[tuple[int, int, list[int]]] = []


class Paced(FastHttpUser):
    """Takes the next place on the schedule, waits for it, asks, reads."""

    @task
    def ask(self) -> None:
        """One request."""
        if not _start_ns:
            _start_ns.append(monotonic_ns() + _SETTLE_NS)  # until all users have started
        number = next(_numbers)
        if number >= _COUNT:
            gevent.sleep(1)
            return
        due_ns = _start_ns[0] + round(number * 1e9 / _RATE)
        while (remaining_ns := due_ns - monotonic_ns()) > 0:
            gevent.sleep(remaining_ns * 1e-9)
        sent_ns, times = monotonic_ns(), []
        with self.client.post("/v1/completions", json=_BODY, stream=True, catch_response=True) as response:
            while line := response.stream.readline(b"\n"):
                if line.startswith(b"data: {"):
                    times.append(monotonic_ns())
                elif line.startswith(b"data: ["):
                    break
            response.stream.read()
            response.success()
        _answers.append((due_ns, sent_ns, times))
        if len(_answers) >= _COUNT:
            self.environment.runner.quit()


def save(**_: object) -> None:
    """Save the times."""
    np.savez(
        os.environ["BENCH_OUT"],
        scheduled_ns=np.array([scheduled for scheduled, _, _ in _answers], dtype=np.int64),
        sent_ns=np.array([sent for _, sent, _ in _answers], dtype=np.int64),
        first_ns=np.array([times[0] for _, _, times in _answers], dtype=np.int64),
        gaps_ns=np.concatenate([np.diff(times[:-1]) for _, _, times in _answers]),  # less usage
    )


events.quitting.add_listener(save)  # type: ignore[no-untyped-call]
