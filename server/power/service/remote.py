"""Power of another host, beside a load that runs here: what its service records is fetched as it is written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from server.power.claim import claimed
from server.power.service.client import MeterUnreachableError, ServiceClient, measure_clock
from server.power.service.session import TRACES
from starwatt_errors import MeterError, StarwattError
from traces.remote import PowerClock, complete_stream

_FETCH_S = 1.0


@dataclass
class RemoteMeter(AbstractContextManager["RemoteMeter"]):
    """A recording on another host; use as a context manager.

    Its bytes go to ``folder/power.arrows`` once a second, and become Parquet when it stops. A service that stops
    answering on the way is no error here: what was fetched is kept, ``problem`` says what happened, and the trace
    ends too early, which analysis finds. ``check_alive`` tells it within two seconds, and where the host itself has
    gone, within twelve.
    """

    url: str
    folder: Path
    host: dict[str, Any]
    clock: PowerClock
    """What cell.json keeps of its clock."""
    number: str
    client: ServiceClient
    fetching: ServiceClient
    """A connection of its own: the thread that fetches never waits for the one that marks."""
    summary: dict[str, Any] = field(default_factory=dict)
    marks: list[dict[str, Any]] = field(default_factory=list)
    problem: str | None = None
    _silence: str | None = None
    """Why the last fetch failed: what it missed stays there, and the next one may have it."""
    _held: ExitStack = field(default_factory=ExitStack)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @classmethod
    def start(cls, url: str, token: str, folder: Path, *, sample_hz: float | None = None) -> RemoteMeter:
        """Measure the offset of its clock, then start recording there, as often as the service likes unless said.

        Raises:
            UsageError: ``url`` is none.
            MeterError: it cannot be reached, refuses the token, records for another, or no meter answers there; or
                another recording is under way in ``folder``.
        """
        client = ServiceClient(url, token)
        try:
            host = client.ask("GET", "/v1/host")
            clock = measure_clock(client)
            order = {} if sample_hz is None else {"sample_hz": sample_hz}
            told = client.patient().ask("POST", "/v1/sessions", order)
            number = str(told.get("id"))
            meter = cls(url, folder, host, clock, number, client, ServiceClient(url, token))
            meter._hold()
        except MeterError:
            client.close()
            raise
        meter._thread = threading.Thread(target=meter._follow, name="remote-meter", daemon=True)
        meter._thread.start()
        return meter

    def _hold(self) -> None:
        try:
            self._held.enter_context(claimed(self.folder))
        except MeterError:
            self._end_there()
            raise

    def mark(self, phase: str) -> None:
        """Note there that a phase begins; a service that does not answer is noted here."""
        self._heed(lambda: self.client.ask("POST", f"/v1/sessions/{self.number}/phases", {"phase": phase}))

    def check_alive(self) -> None:
        """Raise MeterError where nothing is recorded there any more, or the service does not answer."""
        trouble = self.problem or self._silence
        if trouble is None and self._thread is not None and not self._thread.is_alive():
            trouble = f"--meter {self.url}: nobody fetches what is recorded there"
        if trouble is not None:
            raise MeterError(trouble)

    def stop(self) -> None:
        """End the recording, fetch its rest, and measure the clock's offset again."""
        self._end_thread()
        self._heed(self._finish)
        self._heed(self._complete)

    def _finish(self) -> None:
        told = self.client.ask("POST", f"/v1/sessions/{self.number}/stop")
        self.summary, self.marks = told.get("summary") or {}, told.get("marks") or []
        self.problem = told.get("problem") or self.problem
        self._fetch()
        after = measure_clock(self.client)
        if after.boot_id != self.clock.boot_id:
            raise MeterError(f"--meter {self.url}: that host was started anew on the way")
        self.clock = self.clock.model_copy(update={"end": after.start})

    def _follow(self) -> None:
        while not self._over.wait(_FETCH_S):
            self._heed(self._fetch_in_time)

    def _fetch_in_time(self) -> None:
        """Fetch, and ask whether there is more to come."""
        try:
            self._fetch()
            problem = self.fetching.ask("GET", f"/v1/sessions/{self.number}").get("problem")
        except MeterUnreachableError as error:
            self._silence = str(error)
            return
        self._silence = None
        if problem:
            raise MeterError(f"--meter {self.url}: {problem}")

    def _fetch(self) -> None:
        """Append what is new of each trace to our copy."""
        for trace in TRACES:
            path = self.folder / f"{trace}.arrows"
            have = path.stat().st_size if path.is_file() else 0
            while True:
                try:
                    piece = self.fetching.fetch(
                        "GET", f"/v1/sessions/{self.number}/{trace}.arrows?offset={have}"
                    )
                except MeterUnreachableError:
                    raise
                except MeterError:
                    if trace == "power":
                        raise
                    break  # no boards there, so nobody looks who is on them
                if not piece:
                    break
                with path.open("ab") as file:
                    file.write(piece)
                have += len(piece)

    def _heed(self, work: Callable[[], object]) -> None:
        try:
            work()
        except StarwattError as error:
            self.problem = self.problem or str(error)  # what came first is the cause
        except OSError as error:
            self.problem = self.problem or f"{self.folder}: cannot be written: {error.strerror}"

    def _end_thread(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _end_there(self) -> None:
        with suppress(MeterError):
            self.client.ask("POST", f"/v1/sessions/{self.number}/stop")

    def _complete(self) -> None:
        self.client.close()
        self.fetching.close()
        with self._held:
            for trace in TRACES:
                self._heed(partial(complete_stream, self.folder, trace))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.stop()
            return
        self._end_thread()
        self._end_there()
        self._heed(self._complete)
