"""The expected outputs: what the canonical solutions return, run once in a sandbox of their own."""

from __future__ import annotations

import contextlib
import json
import queue
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from typing import Any

from analysis.grading.cache import Cache, content_key
from analysis.grading.expected import Expected, TaskAnswers
from analysis.grading.launch import Launcher
from analysis.grading.oracle import is_floats, own_encoding_is_right
from analysis.grading.sandbox import Job, Sandbox, SandboxDiedError
from analysis.grading.traffic import HEADER, Frame
from analysis.grading.types import GRADER_VERSION
from analysis.grading.values import Opaque, decode
from configs.datasets import Dataset, Task
from starwatt_errors import GradingError

_LIMIT_S = 60.0
_OUTPUT_BYTES = 1 << 30
# A text, or a list or tuple whose first item is a text, a list or a whole number.
_NO_FLOATS = re.compile(rb'"|\["[lt]", \[(["\[]|-?[0-9]+[,\]])')
_MARKS_OF_FLOATS = (
    b".",
    b"e",
    b"N",
    b"I",
    b'"n"',
    b'"p"',
)  # 1.5, 1e-7, NaN, Infinity, an array, a packed list


def expected_answers(
    dataset: Dataset, task_ids: Iterable[str], cache: Cache, launcher: Launcher, workers: int = 1
) -> dict[str, TaskAnswers]:
    """The answers of these tasks, by ``workers`` sandboxes side by side.

    Raises ``GradingError`` for a canonical solution that does not run.
    Candidates never share a sandbox with canonical solutions: what is freed there could still be read.
    """
    answers: dict[str, TaskAnswers] = {}
    missing: list[Task] = []
    for task_id in task_ids:
        kept = cache.get_bytes(_key(dataset, task_id))
        if kept is None:
            missing.append(dataset.by_id[task_id])
        else:
            answers[task_id] = _unpack(kept, dataset.by_id[task_id])
    for task_id, found in _side_by_side(missing, launcher, workers) if missing else ():
        answers[task_id] = found
        cache.put_bytes(_key(dataset, task_id), _pack(found))
    return answers


def _side_by_side(tasks: list[Task], launcher: Launcher, workers: int) -> list[tuple[str, TaskAnswers]]:
    """Threads, each with a sandbox of its own, take one task after the other."""
    todo: queue.SimpleQueue[Task] = queue.SimpleQueue()
    for task in tasks:
        todo.put(task)
    sandboxes: list[Sandbox] = []

    def record(number: int) -> list[tuple[str, TaskAnswers]]:
        found = []
        with Sandbox(launcher=launcher, worker=number) as sandbox, contextlib.suppress(queue.Empty):
            sandboxes.append(sandbox)
            while True:
                task = todo.get_nowait()
                base, plus = (
                    _record(sandbox, task, inputs) for inputs in (task.base_inputs, task.plus_inputs)
                )
                found.append((task.task_id, TaskAnswers(base, plus)))
        return found

    with ThreadPoolExecutor(min(workers, len(tasks)), thread_name_prefix="references") as crew:
        try:
            return [pair for pairs in crew.map(record, range(min(workers, len(tasks)))) for pair in pairs]
        except BaseException:  # an interrupt too: threads that compute for a minute must not be waited for
            for sandbox in sandboxes:
                sandbox.kill()
            raise


def _key(dataset: Dataset, task_id: str) -> str:
    return content_key("expected", GRADER_VERSION, dataset.sha256, task_id)


def _record(sandbox: Sandbox, task: Task, inputs: tuple[list[Any], ...]) -> Expected:
    encoded: list[bytes] = []
    ends: list[Any] = []

    def take(frame: Frame) -> bool:
        if frame.is_value:
            encoded.append(frame.body)
        else:
            ends.append(frame.content)
        return True

    job = Job(
        code=task.prompt + task.canonical_solution,
        entry_point=task.entry_point,
        inputs=_as_json(inputs),
        cpu_limits_s=tuple(_LIMIT_S for _ in inputs),
        output_bytes=_OUTPUT_BYTES,
        timed=True,
    )
    try:
        outcome = sandbox.run(job, take)
    except (SandboxDiedError, ValueError) as error:
        raise GradingError(f"the canonical solution of {task.task_id} does not run: {error!r}") from error
    if len(ends) != 1 or "cpu_s" not in ends[0] or len(encoded) != len(inputs):
        raise GradingError(f"the canonical solution of {task.task_id} does not run: {ends or outcome}")
    if any(map(_holds_opaque, encoded)):
        raise GradingError(
            f"the canonical solution of {task.task_id} returns something that is not plain data"
        )
    return Expected(
        inputs=job.inputs,
        frames=b"".join(HEADER.pack(b"v", len(body)) + body for body in encoded),
        ends=tuple(accumulate(HEADER.size + len(body) for body in encoded)),
        floats=tuple(map(_encodes_floats, encoded)),
        same_is_right=tuple(own_encoding_is_right(task.entry_point, body) for body in encoded),
        cpu_s=tuple(map(float, ends[0]["cpu_s"])),
    )


def _holds_opaque(body: bytes) -> bool:
    """Whether an output is of a type that has no plain counterpart. The outputs of all tasks are 290 MB: look first."""
    return b'["o"' in body and isinstance(decode(json.loads(body)), Opaque)


def _encodes_floats(body: bytes) -> bool:
    if _NO_FLOATS.match(body) or not any(mark in body for mark in _MARKS_OF_FLOATS):
        return False
    return is_floats(decode(json.loads(body)))


def _as_json(inputs: tuple[list[Any], ...]) -> bytes:
    return json.dumps(inputs).encode()


def _pack(answers: TaskAnswers) -> bytes:
    """A line of JSON, then all frames one after the other."""
    phases = (answers.base, answers.plus)
    head = [
        {
            "ends": phase.ends,
            "floats": phase.floats,
            "same_is_right": phase.same_is_right,
            "cpu_s": phase.cpu_s,
        }
        for phase in phases
    ]
    return b"".join((json.dumps(head).encode(), b"\n", answers.base.frames, answers.plus.frames))


def _unpack(packed: bytes, task: Task) -> TaskAnswers:
    start = packed.index(b"\n") + 1
    phases = []
    for head, inputs in zip(json.loads(packed[:start]), (task.base_inputs, task.plus_inputs), strict=True):
        frames = packed[start : start + max(head["ends"], default=0)]
        start += len(frames)
        phases.append(
            Expected(
                inputs=_as_json(inputs),
                frames=frames,
                ends=tuple(head["ends"]),
                floats=tuple(head["floats"]),
                same_is_right=tuple(head["same_is_right"]),
                cpu_s=tuple(head["cpu_s"]),
            )
        )
    return TaskAnswers(*phases)
