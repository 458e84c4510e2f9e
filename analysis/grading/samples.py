"""Grade a file in evalplus' sample format: a JSON object a line, ``task_id`` and ``solution`` or ``completion``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from analysis.grading.grader import Program, Progress, judge_programs
from analysis.grading.sandbox import Limits
from analysis.pass_at_k import mean_pass_at_k, possible_ks
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
    sanitize: bool = False,
    unsafe_no_sandbox: bool = False,
) -> dict[str, Any]:
    """Grade the file; the result is what ``starwatt grade --samples FILE --json`` prints.

    As evalplus has it, ``solution`` is the whole program and ``completion`` follows the task's prompt; both are taken
    as they are, or with ``sanitize`` as evalplus' sanitiser makes them. ``pass_at_1`` is the mean over the tasks in the
    file of the share of their samples that pass; ``pass_at_k`` has it for every k that they all have samples for.
    ``sample`` counts the samples of a task from 0. Raises ``UsageError`` (file, line, field) for a bad file and
    ``GradingError`` as ``grade`` does.
    """
    programs = [replace(program, sanitize=sanitize) for program in _read(path, dataset)]
    verdicts = judge_programs(
        dataset,
        programs,
        workers=workers,
        cache_dir=cache_dir,
        on_progress=on_progress,
        limits=limits,
        unsafe_no_sandbox=unsafe_no_sandbox,
    )
    seen: Counter[str] = Counter()
    grades = []
    for program, verdict in zip(programs, verdicts, strict=True):
        grades.append({"task_id": program.task_id, "sample": seen[program.task_id], **asdict(verdict)})
        seen[program.task_id] += 1
    at = pass_at_every_k([(grade["task_id"], grade["base"], grade["plus"]) for grade in grades])
    return {
        "dataset": dataset.name,
        "dataset_hash": dataset.sha256,
        "pass_at_1": at["1"],
        "pass_at_k": at,
        "grades": grades,
    }


def pass_at_every_k(grades: Iterable[tuple[str, bool, bool]]) -> dict[str, dict[str, float]]:
    """pass@k by k (as text, as in JSON) and kind, of (task, base, plus); k up to the fewest samples of a task."""
    tasks: dict[str, list[tuple[bool, bool]]] = {}
    for task_id, base, plus in grades:
        tasks.setdefault(task_id, []).append((base, plus))
    samples = [len(rows) for rows in tasks.values()]
    passed = {
        kind: [sum(row[place] for row in rows) for rows in tasks.values()]
        for place, kind in enumerate(("base", "plus"))
    }
    return {
        str(k): {kind: mean_pass_at_k(samples, passed[kind], k) for kind in passed}
        for k in possible_ks(samples)
    }


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
