"""Starts and stops the power sidecar, which is a process of its own so that a busy runner cannot delay it."""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE, Popen
from types import TracebackType
from typing import Any, Self

from configs.meters import Meters
from server.processes import last_lines, spawn, stop_group
from starwatt_errors import MeterError

_READY_S = 30.0
_STOP_S = 10.0


@dataclass
class Sidecar:
    """A running sidecar; use as a context manager. ``summary`` is there once it has stopped."""

    process: Popen[bytes]
    errors: Path
    devices: list[dict[str, str]]
    summary: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def start(cls, folder: Path, settings: Meters, *, engine_pid: int | None) -> Sidecar:
        """Start sampling into ``folder/power.arrows`` and wait until the first reading is under way.

        Raises:
            MeterError: no meter could be opened; the message says why.
        """
        folder.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable, "-m", "server.power",
            "--out", str(folder.resolve()),
            "--meters", settings.model_dump_json(),
        ]  # fmt: skip
        if engine_pid is not None:
            command += ["--pid", str(engine_pid)]
        errors = folder / ".sidecar.log"  # a kill leaves it in a cell that is then measured again
        with errors.open("wb") as output:
            process = spawn(command, stdout=PIPE, stderr=output)
        sidecar = cls(process=process, errors=errors, devices=[])
        try:
            sidecar.devices = sidecar._message(_READY_S)["devices"]
        except (MeterError, KeyboardInterrupt):
            sidecar._clean_up()
            raise
        return sidecar

    def check_alive(self) -> None:
        """Raise MeterError with its own words if it has died."""
        if self.process.poll() is not None:
            if self.process.returncode < 0:
                raise MeterError(f"the power sidecar was killed (signal {-self.process.returncode})")
            raise MeterError(f"the power sidecar stopped by itself:\n{last_lines(self.errors, 5)}")

    def stop(self) -> None:
        """End the sampling and let it complete its file.

        Raises:
            MeterError: it had failed on the way.
        """
        if self.summary:
            return
        self.process.terminate()
        try:
            self.summary = self._message(_STOP_S)
        except MeterError:
            self.process.kill()  # it had its time
            raise
        finally:
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
            if code < 0 and not self.errors.stat().st_size:
                raise MeterError(f"the power sidecar was killed (signal {-code})")
            raise MeterError(last_lines(self.errors, 5).strip())
        message: dict[str, Any] = json.loads(line)
        return message

    def _clean_up(self) -> None:
        stop_group(self.process, grace_s=_STOP_S)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.errors.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.stop()
        elif not self.summary:
            self._clean_up()
