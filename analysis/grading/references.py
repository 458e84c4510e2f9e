"""The expected outputs: what the canonical solutions return, run once in a sandbox of their own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from analysis.grading.cache import Cache, content_key
from analysis.grading.judge import Answers, Expected
from analysis.grading.sandbox import Job, Sandbox, SandboxDiedError
from analysis.grading.types import GRADER_VERSION
from analysis.grading.values import Opaque, decode
from configs.datasets import Dataset, Task
from starwatt_errors import GradingError

_LIMIT_S = 60.0
_OUTPUT_BYTES = 1 << 30


def expected_answers(dataset: Dataset, task_ids: Iterable[str], cache: Cache) -> dict[str, Answers]:
    """The answers of these tasks. Raises ``GradingError`` for a canonical solution that does not run.

    Candidates never share a sandbox with canonical solutions: what is freed there could still be read.
    """
    answers: dict[str, Answers] = {}
    missing: list[Task] = []
    for task_id in task_ids:
        kept = cache.get(_key(dataset, task_id))
        if kept is None:
            missing.append(dataset.by_id[task_id])
        else:
            answers[task_id] = _answers(kept)
    if missing:
        with Sandbox() as sandbox:
            for task in missing:
                recorded = [_record(sandbox, task, inputs) for inputs in (task.base_inputs, task.plus_inputs)]
                cache.put(_key(dataset, task.task_id), recorded)
                answers[task.task_id] = _answers(recorded)
    return answers


def _key(dataset: Dataset, task_id: str) -> str:
    return content_key("expected", GRADER_VERSION, dataset.sha256, task_id)


def _record(sandbox: Sandbox, task: Task, inputs: tuple[list[Any], ...]) -> list[list[Any]]:
    """One ``[encoded value, size in bytes, CPU seconds]`` for each input."""
    rows: list[list[Any]] = []
    problems: list[object] = []

    def take(frame: dict[str, Any], size: int) -> bool:
        if "value" in frame:
            rows.append([frame["value"], size, frame["cpu_s"]])
        else:
            problems.append(frame)
        return True

    limits = tuple(_LIMIT_S for _ in inputs)
    job = Job(task.prompt + task.canonical_solution, task.entry_point, inputs, limits, _OUTPUT_BYTES)
    try:
        outcome = sandbox.run(job, take)
    except (SandboxDiedError, ValueError) as error:
        raise GradingError(f"the canonical solution of {task.task_id} does not run: {error!r}") from error
    if problems or len(rows) != len(inputs):
        raise GradingError(f"the canonical solution of {task.task_id} does not run: {problems or outcome}")
    return rows


def _answers(recorded: list[list[list[Any]]]) -> Answers:
    base, plus = (_expected(rows) for rows in recorded)
    return Answers(base=base, plus=plus)


def _expected(rows: list[list[Any]]) -> Expected:
    outputs = tuple(decode(row[0]) for row in rows)
    if any(isinstance(output, Opaque) for output in outputs):
        raise GradingError("a canonical solution returns something that is not plain data")
    return Expected(
        outputs=outputs, sizes=tuple(row[1] for row in rows), cpu_s=tuple(float(row[2]) for row in rows)
    )
