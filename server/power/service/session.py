"""One recording of the sidecar's service: a sidecar, the bytes it wrote, and the phases that a client marked."""

from __future__ import annotations

import os
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.meters import Meters
from server.power.sidecar import Sidecar
from server.process.guard import GUARD
from server.process.waiting import wait_until
from starwatt_errors import MeterError
from traces.clock import now_ns

TRACES = ("power", "occupancy")
PIECE = 4 << 20
"""Bytes of a stream that one request gets at most."""
MOST_MARKS = 10_000
_OPEN_S = 10.0


@dataclass
class Session:
    """A recording; what it wrote can be read until ``forget``, also after it ended.

    The streams stay open here: the sidecar replaces them by Parquet at its end, and an open file outlives its name.
    """

    sidecar: Sidecar
    folder: Path
    number: str = field(default_factory=lambda: uuid.uuid4().hex)
    marks: list[dict[str, Any]] = field(default_factory=list)
    used_ns: int = field(default_factory=now_ns)
    ended: bool = False
    problem: str | None = None
    _streams: dict[str, int] = field(default_factory=dict)
    _temporaries: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def start(cls, settings: Meters, engine_pid: int | None) -> Session:
        """Start a sidecar that writes to a folder of its own.

        Raises:
            MeterError: no meter could be opened, or it died at once.
        """
        with ExitStack() as temporaries:
            try:
                folder = temporaries.enter_context(GUARD.scratch("meter")) / "recording"
            except OSError as error:
                raise MeterError(f"no folder can be made for the recording: {error.strerror}") from error
            session = cls(Sidecar.start(folder, settings, engine_pid=engine_pid), folder)
            session._wait_for_its_stream()
            session._temporaries = temporaries.pop_all()
        return session

    def mark(self, phase: str) -> int:
        """Note that a phase begins now, by this host's clock."""
        if len(self.marks) >= MOST_MARKS:
            raise MeterError(f"a recording takes at most {MOST_MARKS} marks")
        t_ns = now_ns()
        self.marks.append({"phase": phase, "t_ns": t_ns})
        return t_ns

    def piece(self, trace: str, offset: int) -> bytes | None:
        """Return bytes of a trace's Arrow IPC stream from ``offset`` on; None where the trace is not written."""
        self._open_streams()
        if trace not in self._streams:
            return None
        return os.pread(self._streams[trace], PIECE, offset)

    @property
    def trouble(self) -> str | None:
        """Say why nothing is recorded any more, in words; None while it is, and after an end that was asked for."""
        if self.ended:
            return self.problem
        try:
            self.sidecar.check_alive()
        except MeterError as error:
            return str(error)
        return None

    def end(self, why: str | None = None) -> None:
        """Stop the sampling; ``problem`` says what had failed on the way, or ``why``. Harmless when repeated."""
        if self.ended:
            return
        self._open_streams()
        self.problem = why
        try:
            self.sidecar.stop()
        except MeterError as error:
            self.problem = str(error)
        self.ended = True

    def forget(self) -> None:
        """End it, and delete what it wrote."""
        self.end()
        for stream in self._streams.values():
            os.close(stream)
        self._streams.clear()
        self._temporaries.close()

    def _wait_for_its_stream(self) -> None:
        def is_open() -> bool:
            self.sidecar.check_alive()
            self._open_streams()
            return "power" in self._streams

        wait_until(is_open, _OPEN_S, poll_s=0.01)

    def _open_streams(self) -> None:
        for trace in TRACES:
            path = self.folder / f"{trace}.arrows"
            if trace not in self._streams and path.is_file():
                self._streams[trace] = os.open(path, os.O_RDONLY)
