"""Commands of a stage: run to the end, or interrupted when its minutes are over."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

STARWATT = (sys.executable, "-c", "from study.cli.app import main; main()")
_GRACE_S = 60.0


def within(command: list[str], until_s: float, stdout: object = None) -> int:
    """Run to the end, or end it when the time is over; its exit code."""
    with subprocess.Popen(command, stdout=stdout) as process:  # type: ignore[call-overload]
        try:
            return int(process.wait(timeout=max(1.0, until_s - time.monotonic())))
        except subprocess.TimeoutExpired:
            return end(process)


def end(process: subprocess.Popen[bytes]) -> int:
    """As Ctrl-C would; killed where it has not ended within a minute. Its exit code."""
    process.send_signal(signal.SIGINT)
    try:
        return process.wait(timeout=_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
