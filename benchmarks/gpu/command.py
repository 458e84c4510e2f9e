"""Commands of a stage: run to the end, or interrupted when its minutes are over."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

STARWATT = (sys.executable, "-c", "from study.cli import main; main()")
_GRACE_S = 60.0


def within(command: list[str], until_s: float, stdout: object = None) -> int:
    """Run to the end, or interrupt it (as Ctrl-C would) when the time is over; its exit code."""
    with subprocess.Popen(command, stdout=stdout) as process:  # type: ignore[call-overload]
        try:
            return int(process.wait(timeout=max(1.0, until_s - time.monotonic())))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        try:
            return int(process.wait(timeout=_GRACE_S))
        except subprocess.TimeoutExpired:
            process.kill()
            return int(process.wait())
