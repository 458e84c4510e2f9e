"""Outputs are decoded and compared in a process of its own, which can be killed: the grader itself looks at none."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any

from analysis.grading.comparing import MEMORY_BYTES, read_parts, with_length
from analysis.grading.isolation.bundle import from_disk

_GRACE_S = 20.0


class ComparerDiedError(Exception):
    """The comparing process was ended by somebody else: this says nothing about the output."""


@dataclass(frozen=True)
class Compared:
    """Say whether an output is right; if not, how it differs."""

    right: bool
    detail: str = ""


class Comparer:
    """One comparing process, started when it is first needed. Used by one thread; ``kill`` may be called from any."""

    def __init__(self, cpu_limit_s: float = 10.0) -> None:
        self._cpu_limit_s = cpu_limit_s
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._killed = False

    def compare(
        self,
        entry_point: str,
        atol: float,
        arguments: list[Any],
        output: bytes,
        expected: bytes,
        *,
        suite: str = "humaneval",
    ) -> Compared:
        """Compare two encoded outputs.

        Raises ``ValueError`` for one that no honest run sends, ``ComparerDiedError`` if somebody ended the process.
        """
        about = {"entry_point": entry_point, "atol": atol, "suite": suite}
        parts = (json.dumps(about).encode(), json.dumps(arguments).encode(), output, expected)
        answer = self._ask(b"".join(map(with_length, parts)))
        if answer is None or "over" in answer:
            limits = f"{self._cpu_limit_s:g} s and {MEMORY_BYTES >> 30} GiB"
            return Compared(False, f"the result cannot be compared within {limits}")
        if "forged" in answer:
            raise ValueError(answer["forged"])
        return Compared(answer["right"], answer["detail"])

    def _ask(self, request: bytes) -> dict[str, Any] | None:
        """Return the answer, or None where it took too long."""
        process = self._started()
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 -- pipes
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(request)
            process.stdin.flush()
        answers = read_parts(process.stdout, 1)
        if answers:
            return dict(json.loads(answers[0]))
        status = self._end()
        if status == -signal.SIGPROF:
            return None
        if self._killed:
            raise ComparerDiedError("it was killed")
        raise ComparerDiedError(f"it ended with {status}")

    def _started(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._killed:
                raise ComparerDiedError("it was killed")
            if self._process is None:
                self._process = subprocess.Popen(
                    [
                        sys.executable,
                        "-P",
                        "-c",
                        from_disk("analysis.grading.comparing"),
                        str(self._cpu_limit_s),
                    ],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                    start_new_session=True,
                )
            return self._process

    def _end(self) -> int:
        """Wait for a process that has closed its output, and forget it; its status."""
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return 0
        with process:
            try:
                return process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                return process.wait()

    def kill(self) -> None:
        """End it for good, from any thread: a comparison in progress raises ``ComparerDiedError``."""
        with self._lock:
            self._killed = True
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """End it for good and give its pipes back. Safe to call twice."""
        self.kill()
        self._end()
