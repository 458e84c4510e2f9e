"""The expected outputs: what the canonical solutions return, run once in a sandbox of their own."""

from __future__ import annotations

import contextlib
import json
import queue
import re
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from functools import partial
from itertools import accumulate
from typing import Any

from pydantic import TypeAdapter

from analysis.grading.arguments import are_tagged, encoded_arguments
from analysis.grading.cache import Cache, content_key, versions
from analysis.grading.expected import AboutOutputs, Expected, TaskAnswers
from analysis.grading.isolation.launch import Launcher
from analysis.grading.isolation.sandbox import Job, Sandbox, SandboxDiedError
from analysis.grading.isolation.traffic import HEADER, Frame
from analysis.grading.oracle import is_floats, own_encoding_is_right
from analysis.grading.special import reference_form
from analysis.grading.values import Opaque, decode
from configs.datasets import Dataset, Task
from starwatt_errors import GradingError

_LIMIT_S = 60.0
_OUTPUT_BYTES = 1 << 30
# A text, or a list or tuple whose first item is a text, a list or a whole number.
_NO_FLOATS = re.compile(rb'"|\["[lt]", \[(["\[]|-?[0-9]+[,\]])')
# 1.5, 1e-7, NaN, Infinity, an array, a packed list.
_MARKS_OF_FLOATS = (b".", b"e", b"N", b"I", b'"n"', b'"p"')


def expected_answers(
    dataset: Dataset, task_ids: Iterable[str], cache: Cache, launcher: Launcher, workers: int = 1
) -> dict[str, TaskAnswers]:
    """Return the answers of these tasks, by ``workers`` sandboxes side by side.

    Raises ``GradingError`` for a canonical solution that does not run.
    Candidates never share a sandbox with canonical solutions: what is freed there could still be read.
    """
    answers: dict[str, TaskAnswers] = {}
    missing: list[Task] = []
    for task_id in task_ids:
        kept = _kept(dataset, dataset.by_id[task_id], cache, launcher)
        if kept is None:
            missing.append(dataset.by_id[task_id])
        else:
            answers[task_id] = kept
    if missing:
        with contextlib.closing(_side_by_side(missing, launcher, workers)) as recorded:
            for task, task_answers in recorded:
                answers[task.task_id] = task_answers
                _keep(dataset, task, task_answers, cache, launcher)
    return answers


#: What was recorded of a task, what went wrong, or None when a worker has ended.
_Recorded = tuple[Task, TaskAnswers] | BaseException | None


def _side_by_side(
    tasks: list[Task], launcher: Launcher, workers: int
) -> Generator[tuple[Task, TaskAnswers], None, None]:
    """Threads, each with a sandbox of its own, take one task after the other; closing it kills what runs."""
    todo: queue.SimpleQueue[Task] = queue.SimpleQueue()
    for task in tasks:
        todo.put(task)
    done: queue.SimpleQueue[_Recorded] = queue.SimpleQueue()
    sandboxes: list[Sandbox] = []

    def record(number: int) -> None:
        try:
            with Sandbox(launcher=launcher, worker=number) as sandbox, contextlib.suppress(queue.Empty):
                sandboxes.append(sandbox)
                while True:
                    task = todo.get_nowait()
                    phases = (_record(sandbox, task, inputs) for inputs in _phases(task))
                    done.put((task, TaskAnswers(*phases)))
        except BaseException as error:  # noqa: BLE001 -- the thread that waits raises it
            done.put(error)
        done.put(None)

    working = min(workers, len(tasks))
    with ThreadPoolExecutor(working, thread_name_prefix="references") as crew:
        try:
            for number in range(working):
                crew.submit(record, number)
            while working:
                result = done.get()
                if isinstance(result, BaseException):
                    raise result  # noqa: TRY301
                if result is None:
                    working -= 1
                else:
                    yield result
        except BaseException:  # an interrupt too: threads that compute for a minute must not be waited for
            while not todo.empty():
                with contextlib.suppress(queue.Empty):
                    todo.get_nowait()
            for sandbox in sandboxes:
                sandbox.kill()
            raise


def _phases(task: Task) -> tuple[tuple[list[Any], ...], tuple[list[Any], ...]]:
    return task.base_inputs, task.plus_inputs


def _key(dataset: Dataset, task: Task, launcher: Launcher, part: str) -> str:
    return content_key(part, versions(), launcher.__name__, dataset.sha256, task.task_id)


def _record(sandbox: Sandbox, task: Task, inputs: tuple[list[Any], ...]) -> Expected:
    encoded: list[bytes] = []
    ends: list[Any] = []

    def take(frame: Frame) -> bool:
        if frame.is_value:
            encoded.append(frame.body)
        else:
            ends.append(frame.content)
        return True

    read_inputs = partial(encoded_arguments, task, inputs)
    job = Job(
        code=task.prompt + task.canonical_solution,
        entry_point=task.entry_point,
        inputs=read_inputs(),
        cpu_limits_s=tuple(_LIMIT_S for _ in inputs),
        output_bytes=_OUTPUT_BYTES,
        timed=True,
        tagged=are_tagged(task),
        results=reference_form(task.suite, task.entry_point),
    )
    try:
        outcome = sandbox.run(job, take)
    except (SandboxDiedError, ValueError) as error:
        raise GradingError(f"the canonical solution of {task.task_id} does not run: {error!r}") from error
    if len(ends) != 1 or "cpu_s" not in ends[0] or len(encoded) != len(inputs):
        why = _why(ends[0]) if ends else outcome
        raise GradingError(f"the canonical solution of {task.task_id} does not run: {why}")
    if any(map(_holds_opaque, encoded)):
        raise GradingError(
            f"the canonical solution of {task.task_id} returns something that is not plain data"
        )
    frames = b"".join(HEADER.pack(b"v", len(body)) + body for body in encoded)
    return Expected(
        read_inputs=read_inputs,
        read_frames=lambda: frames,
        ends=tuple(accumulate(HEADER.size + len(body) for body in encoded)),
        floats=tuple(map(_encodes_floats, encoded)),
        same_is_right=tuple(own_encoding_is_right(task.entry_point, body, task.suite) for body in encoded),
        cpu_s=tuple(map(float, ends[0]["cpu_s"])),
    )


def _why(end: Any) -> str:
    """Say in words how a run ended that was to return something."""
    if "raised" in end:
        return (
            f"it raises {end['raised']}: {end['text']}" if end.get("text") else f"it raises {end['raised']}"
        )
    return str(end.get("syntax", end))


def _holds_opaque(body: bytes) -> bool:
    """Say whether an output's type has no plain counterpart. The outputs of all tasks are 290 MB: look first."""
    return b'["o"' in body and isinstance(decode(json.loads(body)), Opaque)


def _encodes_floats(body: bytes) -> bool:
    if _NO_FLOATS.match(body) or not any(mark in body for mark in _MARKS_OF_FLOATS):
        return False
    return is_floats(decode(json.loads(body)))


def _keep(dataset: Dataset, task: Task, answers: TaskAnswers, cache: Cache, launcher: Launcher) -> None:
    """The outputs first: whoever finds the rest finds them."""
    phases = {"base": answers.base, "plus": answers.plus}
    for name, phase in phases.items():
        cache.put_bytes(_key(dataset, task, launcher, f"outputs of {name}"), phase.frames)
    names = [field.name for field in fields(AboutOutputs)]
    about = [{name: getattr(phase, name) for name in names} for phase in phases.values()]
    cache.put(_key(dataset, task, launcher, "about outputs"), about)


_ABOUT = TypeAdapter(tuple[AboutOutputs, AboutOutputs])


def _kept(dataset: Dataset, task: Task, cache: Cache, launcher: Launcher) -> TaskAnswers | None:
    about = cache.get(_key(dataset, task, launcher, "about outputs"), _ABOUT)
    if about is None:
        return None
    phases = []
    for name, inputs, known in zip(("base", "plus"), _phases(task), about, strict=True):
        if {len(values) for values in vars(known).values()} != {len(inputs)}:
            raise cache.damaged(f"not as many outputs as inputs of {task.task_id}")
        key, size = _key(dataset, task, launcher, f"outputs of {name}"), known.ends[-1] if known.ends else 0
        read_frames = partial(_outputs, cache, key, size)
        read_inputs = partial(encoded_arguments, task, inputs)
        phases.append(Expected(read_inputs=read_inputs, read_frames=read_frames, **vars(known)))
    return TaskAnswers(*phases)


def _outputs(cache: Cache, key: str, size: int) -> bytes:
    kept = cache.get_bytes(key)
    if kept is None:
        raise cache.damaged("expected outputs are missing")
    if len(kept) != size:
        raise cache.damaged(f"{len(kept)} bytes of expected outputs where {size} were kept")
    return kept
