"""A load that calibration can switch: matrix products on one GPU, in a process of its own.

The step that it makes in power shows how long a sensor averages and how late it is (``response.py``). It takes some
hundred megabytes of the board's memory while it lives, and never touches clocks, limits or modes.
"""

from __future__ import annotations

import argparse
import os
import select
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from subprocess import PIPE
from typing import IO

from server.process.installed import installed_version
from server.process.spawn import spawn, stop_group
from starwatt_errors import MeterError
from traces.clock import now_ns

SIZE = 4096
"""Rows and columns: 0.14 TFLOP a product, about a millisecond or less on a board of today."""
_START_S = 120.0
_ANSWER_S = 10.0
_GRACE_S = 5.0


@dataclass(frozen=True)
class Heater:
    """Switches the products on and off; raises MeterError where their process does not answer."""

    pid: int
    orders: IO[bytes]
    answers: IO[bytes]

    def switch(self, on: bool) -> int:
        """Do it; returns when it took effect: the first product was sent, the last one had ended."""
        try:
            self.orders.write(b"on\n" if on else b"off\n")
            self.orders.flush()
        except OSError as error:
            raise MeterError(f"the load that calibration applies has ended: {error}") from error
        line = self.answer(_ANSWER_S)
        if not (line.isascii() and line.isdigit()):
            raise MeterError(f"the load that calibration applies answers {line[:80]!r} in place of a time")
        return int(line)

    def answer(self, seconds: float) -> str:
        """Return the next line that the process prints."""
        ready, _, _ = select.select([self.answers], [], [], seconds)
        line = self.answers.readline().decode(errors="replace").strip() if ready else ""
        if not line or line.startswith("error:"):
            raise MeterError(
                line.removeprefix("error: ") or "the load that calibration applies does not answer"
            )
        return line


def why_no_heater() -> str | None:
    """Say why no load can be applied here, without trying; None where it can be tried."""
    version = installed_version("torch")
    if version is None:
        return "torch is not installed here"
    return f"torch {version} is built for the CPU alone" if version.endswith("+cpu") else None


@contextmanager
def heated(uuid: str) -> Iterator[Heater]:
    """Give the switch of one board's load, its process started and warmed up.

    Raises:
        MeterError: torch or the board refuses, in its own words.
    """
    reason = why_no_heater()
    if reason is not None:
        raise MeterError(reason)
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": uuid}
    with heater_on("cuda", environment) as heater:
        yield heater


@contextmanager
def heater_on(device: str, environment: dict[str, str], size: int = SIZE) -> Iterator[Heater]:
    """Give the same on a device by torch's name for it."""
    module = ["-P", "-m", "server.power.calibration.heater"]
    command = [sys.executable, *module, "--device", device, "--size", str(size)]
    with ExitStack() as cleaning:
        cleaning.enter_context(suppress(BrokenPipeError))  # an order that a dead child did not take
        process = cleaning.enter_context(spawn(command, stdin=PIPE, stdout=PIPE, environment=environment))
        cleaning.callback(stop_group, process, grace_s=_GRACE_S)
        if process.stdin is None or process.stdout is None:
            raise MeterError("the load that calibration applies has no pipes")
        heater = Heater(process.pid, process.stdin, process.stdout)
        heater.answer(_START_S)
        yield heater


def _work(device: str, size: int) -> None:
    """The child: products while it is on, switched by lines on stdin, each answered by when it took effect."""
    import torch

    factor = torch.randn(
        size, size, device=device, dtype=torch.float16 if device == "cuda" else torch.float32
    )

    def multiply() -> None:
        torch.mm(factor, factor)
        if device == "cuda":
            torch.cuda.synchronize()

    for _ in range(3):
        multiply()
    print("ready", flush=True)  # noqa: T201 -- the pipe to the parent
    on = False
    while True:
        ready, _, _ = select.select([sys.stdin], [], [], 0 if on else None)
        if not ready:
            multiply()
            continue
        line = sys.stdin.readline()
        if not line:
            return
        on = line.strip() == "on"
        print(now_ns(), flush=True)  # noqa: T201


def main() -> None:
    """Run the child process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", required=True)
    parser.add_argument("--size", type=int, default=SIZE)
    given = parser.parse_args()
    try:
        _work(given.device, given.size)
    except Exception as error:  # noqa: BLE001 -- told to the parent: torch has errors of every kind
        words = f"{type(error).__name__}: {error}".splitlines()[0]
        print(f"error: {words}", flush=True)  # noqa: T201
        sys.exit(1)


if __name__ == "__main__":
    main()
