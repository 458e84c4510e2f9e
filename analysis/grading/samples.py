"""Grade a file in evalplus' sample format: a JSON object a line, ``task_id`` and ``solution`` or ``completion``."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from analysis.grading.grader import Program, Progress, judge_programs
from analysis.grading.sandbox import Limits
from configs.datasets import Dataset
from starwatt_errors import UsageError


def grade_samples(
    path: Path,
    dataset: Dataset,
    *,
    workers: int = 2,
    cache_dir: Path | None = None,
    on_progress: Progress | None = None,
    limits: Limits | None = None,
) -> dict[str, Any]:
    """Grade the file; the result is what ``starwatt grade --samples FILE --json`` prints.

    As evalplus has it, ``solution`` is the whole program and ``completion`` follows the task's prompt; both are taken
    as they are. ``pass_at_1`` is the mean over the tasks in the file of the share of their samples that pass.
    ``sample`` counts the samples of a task from 0. Raises ``UsageError`` (file, line, field) for a bad file and
    ``GradingError`` as ``grade`` does.
    """
    programs = _read(path, dataset)
    verdicts = judge_programs(
        dataset, programs, workers=workers, cache_dir=cache_dir, on_progress=on_progress, limits=limits
    )
    seen: Counter[str] = Counter()
    grades = []
    for program, verdict in zip(programs, verdicts, strict=True):
        grades.append(
            {
                "task_id": program.task_id,
                "sample": seen[program.task_id],
                "base": verdict.base,
                "plus": verdict.plus,
                "reason": verdict.reason,
                "detail": verdict.detail,
                "retried": verdict.retried,
            }
        )
        seen[program.task_id] += 1
    pass_at_1 = {kind: _pass_at_1(grades, kind) for kind in ("base", "plus")}
    return {"dataset": dataset.name, "dataset_hash": dataset.sha256, "pass_at_1": pass_at_1, "grades": grades}


def _pass_at_1(grades: list[dict[str, Any]], kind: str) -> float:
    by_task: defaultdict[str, list[bool]] = defaultdict(list)
    for grade in grades:
        by_task[grade["task_id"]].append(grade[kind])
    return sum(sum(passed) / len(passed) for passed in by_task.values()) / len(by_task)


def _read(path: Path, dataset: Dataset) -> list[Program]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read samples from {path}: {error}") from error
    programs = [
        _program(line, f"{path}, line {number}", dataset)
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    if not programs:
        raise UsageError(f"{path} has no samples")
    return programs


def _program(line: str, where: str, dataset: Dataset) -> Program:
    try:
        sample = json.loads(line)
    except ValueError as error:
        raise UsageError(f"{where}: not JSON ({error})") from error
    if not isinstance(sample, dict):
        raise UsageError(f"{where}: not a JSON object")
    task_id = sample.get("task_id")
    if not isinstance(task_id, str) or task_id not in dataset.by_id:
        raise UsageError(f"{where}: task_id is {task_id!r}, which {dataset.name} does not have")
    if isinstance(sample.get("solution"), str):
        return Program(task_id, sample["solution"])
    if isinstance(sample.get("completion"), str):
        return Program(task_id, dataset.by_id[task_id].prompt + sample["completion"])
    raise UsageError(f"{where}: it takes a string in the field solution or completion")
