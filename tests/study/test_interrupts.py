"""An interrupt that strikes where Python can't raise it is not lost."""

from __future__ import annotations

import subprocess
import sys

IN_A_FORK_HOOK = """
import os, signal, subprocess, time
from study.interrupts import install
install()
struck = []
def strike():
    if not struck:
        struck.append(True)
        os.kill(os.getpid(), signal.{signal})
        time.sleep(0)
os.register_at_fork(after_in_parent=strike)
try:
    subprocess.run(["true"], preexec_fn=lambda: None)
    print("went on", flush=True)
    signal.pause()
except KeyboardInterrupt:
    print("interrupted")
"""


def _output_when_struck_by(name: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", IN_A_FORK_HOOK.format(signal=name)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split("\n")


def test_ctrl_c_in_a_fork_hook_still_interrupts() -> None:
    assert "interrupted" in _output_when_struck_by("SIGINT")


def test_sigterm_in_a_fork_hook_still_interrupts() -> None:
    assert "interrupted" in _output_when_struck_by("SIGTERM")
