"""Runs ``starwatt`` as a person does: as a process."""

from __future__ import annotations

import atexit
import json
import os
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import psutil

from tests.support.busy import PATIENCE_S

COMMAND = [sys.executable, "-c", "from study.cli.app import main; main()"]
_STARTED: list[subprocess.Popen[bytes]] = []
_ROOT = Path(__file__).parents[2]
"""Where ``-m`` finds the tests, whatever folder the first that runs a command stands in."""
_AT_START = (
    "LD_",
    "PYTHON",
    "LC_",
    "LANG",
    "OMP_",
    "OPENBLAS_",
    "COLUMNS",
    "TERM",
    "NO_COLOR",
    "FORCE_COLOR",
)
"""How variables begin that are read once, as a process starts or as it imports."""
_ENVIRONMENT = dict(os.environ)
"""Of this process before any test changed it."""


def starwatt(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in a fork that finds all imported where nothing of its environment forbids that."""
    words = [str(argument) for argument in arguments]
    if _at_start(os.environ) == _at_start(_ENVIRONMENT):
        return _forks().run(words, cwd or Path.cwd())
    return subprocess.run(
        [*COMMAND, *words], capture_output=True, text=True, timeout=PATIENCE_S, check=False, cwd=cwd
    )


def start(*arguments: object) -> subprocess.Popen[bytes]:
    """Start a command; where a test fails before its end, it ends with the test."""
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    _STARTED.append(process)
    return process


def end_started() -> None:
    """Kill what still runs of the commands that were started, so that no later test has to do with it."""
    while _STARTED:
        process = _STARTED.pop()
        if process.poll() is None:
            process.kill()
            process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


class Forks:
    """The process of ``forks.py``; one command runs at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forks"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_ENVIRONMENT, cwd=_ROOT,
        )  # fmt: skip
        atexit.register(self.close)

    def run(self, words: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a command with this process's environment of now.

        Raises:
            subprocess.TimeoutExpired: it was ended, as it took too long.
        """
        with tempfile.TemporaryDirectory(prefix="forks-") as folder:
            out, err = Path(folder) / "out", Path(folder) / "err"
            out.touch()
            err.touch()
            asked = {
                "arguments": words, "cwd": str(cwd), "out": str(out), "err": str(err), "environment": dict(os.environ),
            }  # fmt: skip
            code = self._answer(json.dumps(asked).encode() + b"\n", words)
            return subprocess.CompletedProcess(words, code, out.read_text(), err.read_text())

    @property
    def pid(self) -> int:
        """Of the process that forks."""
        return self._process.pid

    def close(self) -> None:
        """End it, and a command that still runs."""
        with self._process as process:
            for child in (
                psutil.Process(process.pid).children(recursive=True) if process.poll() is None else ()
            ):
                child.kill()
            process.kill()

    def _answer(self, line: bytes, words: list[str]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(PATIENCE_S):
                self.close()
                _forks.cache_clear()
                raise subprocess.TimeoutExpired(words, PATIENCE_S)
        return int(self._process.stdout.readline())


_forks = cache(Forks)


def _at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_AT_START)}
