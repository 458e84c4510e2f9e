"""The verdict of one program: run it on the base inputs, then on the plus inputs, and compare outside."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any

from analysis.grading.arguments import are_tagged
from analysis.grading.comparer import Comparer
from analysis.grading.expected import Expected, TaskAnswers
from analysis.grading.isolation.sandbox import Job, Outcome, Sandbox
from analysis.grading.isolation.traffic import Frame
from analysis.grading.oracle import Oracle
from analysis.grading.special import output_form
from analysis.grading.types import Verdict
from analysis.grading.values import printable, short
from configs.datasets import Task

# An equal value can have a longer encoding than the expected one: [1] as numpy's integers has eight times as much.
_LONGEST_ENCODING = 16
_SLACK_BYTES = 1 << 16
_LEAST_OUTPUT_BYTES = 16 << 20
_LONGEST_END_BYTES = 1 << 16  # of a frame that says how a run ended
_OVER_A_LIMIT = {
    "wall": ("timeout", "wall-clock limit"),
    "cpu": ("timeout", "more CPU time than its calls may take"),
    "output": ("output", "more output than a result may have"),
    "memory": ("memory", "its processes had too much in all"),
}
_TIME_SIGNALS = (signal.SIGPROF, signal.SIGALRM, signal.SIGXCPU)


@dataclass(frozen=True)
class Judgement:
    """A verdict, and whether it is the program's own doing for certain.

    It is not where the run ended without a word of the program: a process that was killed, a limit of time or memory.
    Then something else may have been at work, and the program is run again before the verdict counts.
    """

    verdict: Verdict
    sure: bool


@dataclass(frozen=True)
class _Failure:
    reason: str
    detail: str
    sure: bool = True


def judge(
    sandbox: Sandbox,
    comparer: Comparer,
    task: Task,
    program: str,
    answers: TaskAnswers,
    *,
    patience: float = 1.0,
) -> Judgement:
    """Run one program; raises ``SandboxDiedError`` if the sandbox ended with it.

    With ``patience`` below 1 it gets that part of its time: what passes passes, and a timeout decides nothing yet.
    """
    cpu_s = 0.0
    for phase, inputs, expected in (
        ("base", task.base_inputs, answers.base),
        ("plus", task.plus_inputs, answers.plus),
    ):
        comparison = _Comparison(comparer, task, inputs, expected)
        failure, used_s = _failure(sandbox, task, program, comparison, patience)
        cpu_s += used_s
        if failure is not None:
            detail = printable(f"{phase} {failure.detail}")
            verdict = Verdict(phase == "plus", False, failure.reason, detail, retried=False, cpu_s=cpu_s)
            return Judgement(verdict, failure.sure)
    return Judgement(Verdict(True, True, "passed", "", retried=False, cpu_s=cpu_s), sure=True)


def _failure(
    sandbox: Sandbox, task: Task, program: str, comparison: _Comparison, patience: float
) -> tuple[_Failure | None, float]:
    """Say why the program fails on these inputs, or None; and its CPU seconds. Each list has a process of its own."""
    expected = comparison.expected
    job = Job(
        code=program,
        entry_point=task.entry_point,
        inputs=expected.inputs,
        cpu_limits_s=tuple(patience * limit_s for limit_s in expected.cpu_limits_s),
        output_bytes=_LEAST_OUTPUT_BYTES + _LONGEST_ENCODING * len(expected.frames),
        result_bytes=expected.encoded_bytes,
        tagged=are_tagged(task),
        results=output_form(task.suite, task.entry_point),
    )
    try:
        outcome = sandbox.run(job, comparison.take, comparison.take_known)
    except ValueError as error:
        return _Failure("forbidden", comparison.place(str(error))), 0.0
    return comparison.failure or comparison.failure_of(outcome), outcome.cpu_s


class _Comparison:
    """Takes the frames of one run in turn and compares them with what was expected."""

    def __init__(
        self, comparer: Comparer, task: Task, inputs: tuple[list[Any], ...], expected: Expected
    ) -> None:
        self.expected = expected
        self._inputs = inputs
        self._comparer = comparer
        self._entry_point, self._suite = task.entry_point, task.suite
        self._oracle = Oracle(task.entry_point, task.atol, task.suite)
        self._done = 0
        self.failure: _Failure | None = None

    def take_known(self, received: bytes) -> tuple[int, int]:
        """Pass over outputs that are right as they came; how many bytes they are, and how many outputs."""
        known = self.expected.known(self._done, received)
        if not known:
            return 0, 0
        start, self._done = self.expected.start(self._done), self._done + known
        self._oracle.note(floats=any(self.expected.floats[self._done - known : self._done]))
        return self.expected.start(self._done) - start, known

    def take(self, frame: Frame) -> bool:
        """Judge one frame; False as soon as nothing more is wanted. Raises ``ValueError`` for a forged one."""
        if frame.is_value:
            return self._take_value(frame)
        if len(frame.body) > _LONGEST_END_BYTES:
            raise ValueError("not a frame of the runner")
        content = frame.content
        if type(content) is not dict:
            raise ValueError("not an object")
        if "raised" in content:
            reason = "memory" if content.get("memory") is True else "exception"
            self.failure = _Failure(
                reason, self.place(f"{_text(content['raised'])}: {_text(content.get('text'))}")
            )
        elif "syntax" in content:
            self.failure = _Failure("syntax", _text(content["syntax"]))
        else:
            raise ValueError("not a frame of the runner")
        return False

    def _take_value(self, frame: Frame) -> bool:
        index = self._done
        encoded = self.expected.body(index)
        if frame.body == encoded and self.expected.same_is_right[index]:
            self._oracle.note(floats=self.expected.floats[index])
        elif len(frame.body) > _LONGEST_ENCODING * len(encoded) + _SLACK_BYTES:
            # Equal values have encodings of about equal size; this one is not worth decoding.
            self.failure = _Failure("wrong_answer", self.place(f"the result has {len(frame.body)} bytes"))
            return False
        elif not self._accepts(index, frame.body, encoded):
            return False
        self._done += 1
        return self._done < len(self._inputs)

    def _accepts(self, index: int, output: bytes, expected: bytes) -> bool:
        """Say whether an output with another encoding is right. It may be anything: decoded elsewhere."""
        arguments, atol = self._inputs[index], self._oracle.atol
        compared = self._comparer.compare(
            self._entry_point, atol, arguments, output, expected, suite=self._suite
        )
        if not compared.right:
            self.failure = _Failure("wrong_answer", self.place(compared.detail))
        self._oracle.note(floats=self.expected.floats[index])
        return compared.right

    def failure_of(self, outcome: Outcome) -> _Failure | None:
        """Say why a run failed whose outputs, as far as they came, were right."""
        if self._done == len(self._inputs):
            return None
        if outcome.why in _OVER_A_LIMIT:
            reason, words = _OVER_A_LIMIT[outcome.why]
            return _Failure(reason, self.place(words), sure=outcome.why == "output")
        if outcome.signal in _TIME_SIGNALS:
            words = f"limit of {self.expected.cpu_limits_s[self._done]:.3g} s"
            return _Failure("timeout", self.place(words), sure=False)
        if outcome.signal:
            words = f"ended by {_signal_name(outcome.signal)}"
            return _Failure("exception", self.place(words), sure=False)
        return _Failure("exception", self.place("left before it returned"), sure=False)

    def place(self, text: str) -> str:
        """Return the text with the input at which the run was."""
        if self._done >= len(self._inputs):
            return text
        return f"input {self._done} {short(self._inputs[self._done])}: {text}"[:500]


def _text(text: Any) -> str:
    """Text of the candidate's, which may be anything."""
    return printable(text, 300) if isinstance(text, str) else "?"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the real-time signals, most of which have no name
        return f"signal {number}"
