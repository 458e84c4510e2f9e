"""Starts and stops the power sidecar, which is a process of its own so that a busy runner cannot delay it."""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE, Popen
from typing import IO, Any

from configs.meters import Meters
from server.process.spawn import spawn, stop_group
from starwatt_errors import MeterError

_READY_S = 30.0
_STOP_S = 10.0
_WORDS_S = 2.0
_MOST_LINES = 200
_LONGEST = 1000
_CLOSING_S = 5.0


@dataclass
class Sidecar(AbstractContextManager["Sidecar"]):
    """A running sidecar; use as a context manager. ``summary`` is there once it has stopped."""

    process: Popen[bytes]
    said: Said
    devices: list[dict[str, str]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """In words, what is there and is not read."""
    summary: dict[str, Any] = field(default_factory=dict)
    _over: bool = False

    @classmethod
    def start(
        cls, folder: Path, settings: Meters, *, engine_pid: int | None, residents: Sequence[int] = ()
    ) -> Sidecar:
        """Start sampling into ``folder/power.arrows`` and wait until the first reading was taken.

        Raises:
            MeterError: no meter could be opened, or another recording is under way in ``folder``; the message says.
        """
        command = [
            sys.executable, "-P", "-m", "server.power",
            "--out", str(folder.resolve()),
            "--meters", settings.model_dump_json(),
        ]  # fmt: skip
        if engine_pid is not None:
            command += ["--pid", str(engine_pid)]
        for pid in residents:
            command += ["--resident", str(pid)]
        try:
            process = spawn(command, stdout=PIPE, stderr=PIPE)
        except OSError as error:
            raise MeterError(f"the power sidecar cannot be started: {error.strerror}") from error
        sidecar = cls(process, Said(process.stderr))
        try:
            ready = sidecar._message(_READY_S)
            sidecar.devices, sidecar.left_out = ready["devices"], ready["left_out"]
        except (MeterError, KeyboardInterrupt):
            sidecar._clean_up()
            raise
        return sidecar

    def check_alive(self) -> None:
        """Raise MeterError with its own words if it has died."""
        code = self.process.poll()
        if code is not None:
            words = self.said.last(_WORDS_S)
            end = "stopped by itself" if words and code >= 0 else _end(code)
            raise MeterError(f"the power sidecar {end}" + (f":\n{words}" if words else ""))

    def stop(self) -> None:
        """End the sampling and let it complete its file; harmless when repeated.

        Raises:
            MeterError: it had failed on the way.
        """
        if self._over:
            return
        self.process.terminate()
        try:
            self.summary = self._message(_STOP_S)
        except MeterError:
            self.process.kill()  # it had its time
            raise
        finally:
            self._clean_up()

    def abandon(self) -> None:
        """End it without waiting for its file; harmless after ``stop``."""
        if not self._over:
            self._clean_up()

    def _message(self, timeout_s: float) -> dict[str, Any]:
        assert self.process.stdout is not None  # noqa: S101 -- started with a pipe
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            line = self.process.stdout.readline() if selector.select(timeout_s) else b""
        if not line:
            try:
                code = self.process.wait(timeout=2)
            except subprocess.TimeoutExpired:
                raise MeterError(f"the power sidecar did not answer within {timeout_s:g} s") from None
            raise MeterError(self.said.last(_WORDS_S).strip() or f"the power sidecar {_end(code)}")
        message: dict[str, Any] = json.loads(line)
        return message

    def _clean_up(self) -> None:
        self._over = True
        stop_group(self.process, grace_s=_STOP_S)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.said.close()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.stop()
        else:
            self.abandon()


def _end(code: int) -> str:
    """Say how it ended without a word."""
    return f"was killed (signal {-code})" if code < 0 else f"ended without a word (exit code {code})"


class Said:
    """The last lines of a pipe, which a thread of its own empties: a full one would hold the child up."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        self._lines: deque[str] = deque(maxlen=_MOST_LINES)
        self._pipe = pipe
        self._thread = threading.Thread(target=self._follow, name="said", daemon=True)
        self._thread.start()

    def last(self, wait_s: float, count: int = 5) -> str:
        """Return the last lines, indented, after waiting so long for the pipe's end, so that none is missing."""
        self._thread.join(wait_s)
        return "\n".join(f"  {line}" for line in list(self._lines)[-count:])

    def close(self) -> None:
        """Close the pipe, whose other end has gone."""
        self._thread.join(_CLOSING_S)
        if self._pipe is not None and not self._thread.is_alive():
            self._pipe.close()

    def _follow(self) -> None:
        with suppress(OSError, ValueError):  # closed under our hands
            while self._pipe is not None and (line := self._pipe.readline(_LONGEST)):
                text = line.decode(errors="replace").rstrip()
                if text:
                    self._lines.append(text)
