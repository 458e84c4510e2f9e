"""The verdict of one program: run it on the base inputs, then on the plus inputs, and compare outside."""

from __future__ import annotations

import signal
from typing import Any

from analysis.grading.expected import Expected, TaskAnswers
from analysis.grading.oracle import Oracle
from analysis.grading.sandbox import Job, Outcome, Sandbox
from analysis.grading.traffic import Frame
from analysis.grading.types import Verdict
from analysis.grading.values import decode, printable, short
from configs.datasets import Task

# An equal value can have a longer encoding than the expected one: [1] as numpy's integers has eight times as much.
_LONGEST_ENCODING = 16
_SLACK_BYTES = 1 << 16
_LEAST_OUTPUT_BYTES = 16 << 20
_OVER_A_LIMIT = {
    "wall": ("timeout", "wall-clock limit"),
    "output": ("output", "more output than a result may have"),
    "memory": ("memory", "its processes had too much in all"),
}
_TIME_SIGNALS = (signal.SIGPROF, signal.SIGALRM, signal.SIGXCPU)


def judge(
    sandbox: Sandbox, task: Task, program: str, answers: TaskAnswers, *, patience: float = 1.0
) -> Verdict:
    """Run one program; raises ``SandboxDiedError`` if the sandbox ended with it.

    With ``patience`` below 1 it gets that part of its time: what passes passes, and a timeout decides nothing yet.
    """
    cpu_s = 0.0
    for phase, inputs, expected in (
        ("base", task.base_inputs, answers.base),
        ("plus", task.plus_inputs, answers.plus),
    ):
        failure, used_s = _failure(sandbox, task, program, inputs, expected, patience)
        cpu_s += used_s
        if failure is not None:
            reason, detail = failure
            return Verdict(phase == "plus", False, reason, f"{phase} {detail}", retried=False, cpu_s=cpu_s)
    return Verdict(base=True, plus=True, reason="passed", detail="", retried=False, cpu_s=cpu_s)


def _failure(
    sandbox: Sandbox,
    task: Task,
    program: str,
    inputs: tuple[list[Any], ...],
    expected: Expected,
    patience: float,
) -> tuple[tuple[str, str] | None, float]:
    """Why the program fails on these inputs, or None, and its CPU seconds. Each list of inputs has its own process."""
    comparison = _Comparison(task, inputs, expected)
    job = Job(
        code=program,
        entry_point=task.entry_point,
        inputs=expected.inputs,
        cpu_limits_s=tuple(patience * limit_s for limit_s in expected.cpu_limits_s),
        output_bytes=_LEAST_OUTPUT_BYTES + _LONGEST_ENCODING * len(expected.frames),
    )
    try:
        outcome = sandbox.run(job, comparison.take, comparison.take_known)
    except ValueError as error:
        return ("forbidden", comparison.place(str(error))), 0.0
    return comparison.failure or comparison.failure_of(outcome), outcome.cpu_s


class _Comparison:
    """Takes the frames of one run in turn and compares them with what was expected."""

    def __init__(self, task: Task, inputs: tuple[list[Any], ...], expected: Expected) -> None:
        self._inputs = inputs
        self._expected = expected
        self._oracle = Oracle(task.entry_point, task.atol)
        self._done = 0
        self.failure: tuple[str, str] | None = None

    def take_known(self, received: bytes) -> int:
        """Pass over outputs that are right as they came; how many bytes they are."""
        known = self._expected.known(self._done, received)
        if not known:
            return 0
        start, self._done = self._expected.start(self._done), self._done + known
        self._oracle.note(floats=any(self._expected.floats[self._done - known : self._done]))
        return self._expected.start(self._done) - start

    def take(self, frame: Frame) -> bool:
        """Judge one frame; False as soon as nothing more is wanted. Raises ``ValueError`` for a forged one."""
        if frame.is_value:
            return self._take_value(frame)
        content = frame.content
        if type(content) is not dict:
            raise ValueError("not an object")
        if "raised" in content:
            reason = "memory" if content.get("memory") is True else "exception"
            text = f"{_printable(content['raised'])}: {_printable(content.get('text'))}"
            self.failure = reason, self.place(text)
        elif "syntax" in content:
            self.failure = "syntax", _printable(content["syntax"])
        else:
            raise ValueError("not a frame of the runner")
        return False

    def _take_value(self, frame: Frame) -> bool:
        index = self._done
        encoded = self._expected.body(index)
        if frame.body == encoded and self._expected.same_is_right[index]:
            self._oracle.note(floats=self._expected.floats[index])
        elif len(frame.body) > _LONGEST_ENCODING * len(encoded) + _SLACK_BYTES:
            # Equal values have encodings of about equal size; this one is not worth decoding.
            self.failure = "wrong_answer", self.place(f"the result has {len(frame.body)} bytes")
            return False
        else:
            output, expected = decode(frame.content), self._expected.output(index)
            if not self._oracle.accepts(self._inputs[index], output, expected):
                self.failure = "wrong_answer", self.place(f"got {short(output)}, expected {short(expected)}")
                return False
        self._done += 1
        return self._done < len(self._inputs)

    def failure_of(self, outcome: Outcome) -> tuple[str, str] | None:
        """Why a run failed whose outputs, as far as they came, were right."""
        if self._done == len(self._inputs):
            return None
        if outcome.why in _OVER_A_LIMIT:
            reason, words = _OVER_A_LIMIT[outcome.why]
            return reason, self.place(words)
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
    return printable(text) if isinstance(text, str) else "?"
