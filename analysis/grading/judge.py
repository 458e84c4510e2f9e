"""The verdict of one program: run it on the base inputs, then on the plus inputs, and compare outside."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any

from analysis.grading.oracle import Oracle
from analysis.grading.sandbox import Job, Outcome, Sandbox
from analysis.grading.types import Verdict
from analysis.grading.values import decode, short
from configs.datasets import Task

# evalplus 0.3.1, ``evalplus/config.py``; there in wall-clock time, here in CPU time.
_MIN_LIMIT_S = 1.0
_REFERENCE_FACTOR = 4.0
_SLACK_BYTES = 1 << 16
_LEAST_OUTPUT_BYTES = 16 << 20
_TIME_SIGNALS = (signal.SIGPROF, signal.SIGALRM, signal.SIGXCPU)


@dataclass(frozen=True)
class Expected:
    """What a canonical solution returned for a list of inputs: values, encoded sizes in bytes, CPU seconds."""

    outputs: tuple[Any, ...]
    sizes: tuple[int, ...]
    cpu_s: tuple[float, ...]

    @property
    def cpu_limits_s(self) -> tuple[float, ...]:
        """The CPU seconds that a candidate may take for each input."""
        return tuple(max(_MIN_LIMIT_S, _REFERENCE_FACTOR * seconds) for seconds in self.cpu_s)


@dataclass(frozen=True)
class Answers:
    """The expected outputs of one task. They never enter a sandbox."""

    base: Expected
    plus: Expected


def judge(sandbox: Sandbox, task: Task, program: str, answers: Answers) -> Verdict:
    """Run one program; raises ``SandboxDiedError`` if the sandbox ended with it."""
    for phase, inputs, expected in (
        ("base", task.base_inputs, answers.base),
        ("plus", task.plus_inputs, answers.plus),
    ):
        failure = _failure(sandbox, task, program, inputs, expected)
        if failure is not None:
            reason, detail = failure
            return Verdict(
                base=phase == "plus", plus=False, reason=reason, detail=f"{phase} {detail}", retried=False
            )
    return Verdict(base=True, plus=True, reason="passed", detail="", retried=False)


def _failure(
    sandbox: Sandbox, task: Task, program: str, inputs: tuple[list[Any], ...], expected: Expected
) -> tuple[str, str] | None:
    """Why the program fails on these inputs, or None. Each list of inputs has a process of its own."""
    comparison = _Comparison(task, inputs, expected)
    job = Job(
        code=program,
        entry_point=task.entry_point,
        inputs=inputs,
        cpu_limits_s=expected.cpu_limits_s,
        output_bytes=_LEAST_OUTPUT_BYTES + 4 * sum(expected.sizes),
    )
    try:
        outcome = sandbox.run(job, comparison.take)
    except ValueError as error:
        return "forbidden", comparison.place(str(error))
    return comparison.failure or comparison.failure_of(outcome)


class _Comparison:
    """Takes the frames of one run in turn and compares them with what was expected."""

    def __init__(self, task: Task, inputs: tuple[list[Any], ...], expected: Expected) -> None:
        self._inputs = inputs
        self._expected = expected
        self._oracle = Oracle(task.entry_point, task.atol)
        self._done = 0
        self.failure: tuple[str, str] | None = None

    def take(self, frame: dict[str, Any], size: int) -> bool:
        """Judge one frame; False as soon as nothing more is wanted. Raises ``ValueError`` for a forged one."""
        if "value" in frame:
            return self._take_value(frame["value"], size)
        if "raised" in frame:
            reason = "memory" if frame.get("memory") is True else "exception"
            text = f"{_printable(frame['raised'])}: {_printable(frame.get('text'))}"
            self.failure = reason, self.place(text)
        elif "syntax" in frame:
            self.failure = "syntax", _printable(frame["syntax"])
        else:
            raise ValueError("not a frame of the runner")
        return False

    def _take_value(self, encoded: Any, size: int) -> bool:
        index = self._done
        arguments, expected = self._inputs[index], self._expected.outputs[index]
        if size > 4 * self._expected.sizes[index] + _SLACK_BYTES:
            # Equal values have encodings of about equal size; this one is not worth decoding.
            self.failure = "wrong_answer", self.place(f"the result has {size} bytes")
            return False
        output = decode(encoded)
        if not self._oracle.accepts(arguments, output, expected):
            self.failure = "wrong_answer", self.place(f"got {short(output)}, expected {short(expected)}")
            return False
        self._done += 1
        return self._done < len(self._inputs)

    def failure_of(self, outcome: Outcome) -> tuple[str, str] | None:
        """Why a run failed whose outputs, as far as they came, were right."""
        if self._done == len(self._inputs):
            return None
        if outcome.why == "wall":
            return "timeout", self.place("wall-clock limit")
        if outcome.why == "output":
            return "output", self.place("more output than a result may have")
        if outcome.signal in _TIME_SIGNALS:
            return "timeout", self.place(f"limit of {self._expected.cpu_limits_s[self._done]:.3g} s")
        if outcome.signal:
            return "exception", self.place(f"ended by {signal.Signals(outcome.signal).name}")
        return "exception", self.place("left before it returned")

    def place(self, text: str) -> str:
        """The text with the input at which the run was."""
        if self._done >= len(self._inputs):
            return text
        return f"input {self._done} {short(self._inputs[self._done])}: {text}"[:500]


def _printable(text: Any) -> str:
    return str(text)[:300].encode("ascii", "backslashreplace").decode() if isinstance(text, str) else "?"
