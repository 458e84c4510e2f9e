"""An interrupt that strikes where Python can't raise it is not lost."""

from __future__ import annotations

import subprocess
import sys

from tests.support.busy import PATIENCE_S

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
        capture_output=True, text=True, timeout=PATIENCE_S, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split("\n")


def test_ctrl_c_in_a_fork_hook_still_interrupts() -> None:
    assert "interrupted" in _output_when_struck_by("SIGINT")


def test_sigterm_in_a_fork_hook_still_interrupts() -> None:
    assert "interrupted" in _output_when_struck_by("SIGTERM")


IN_AN_EXTENSION = """
import os, signal, sys
from study.cli import app
class Finder:
    def find_spec(self, name, path, target=None):
        if name.startswith("study."):
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                raise ImportError("initialization failed")
sys.meta_path.insert(0, Finder())
sys.argv = ["starwatt", "doctor"]
app.main()
"""


def test_ctrl_c_that_an_extension_makes_an_import_error_of_is_still_an_interrupt() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_AN_EXTENSION],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 130
    assert done.stderr == "starwatt: interrupted\n"
