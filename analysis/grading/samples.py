"""Grade samples in evalplus' formats: ``task_id`` and ``solution`` or ``completion``, or a folder for each task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Unpack

from analysis.accuracy.pass_at_k import mean_pass_at_k, possible_ks
from analysis.grading.grader import How, judge_programs
from analysis.grading.sample_files import read_samples
from configs.datasets import Dataset


def grade_samples(
    path: Path, dataset: Dataset, *, sanitize: bool = False, **how: Unpack[How]
) -> dict[str, Any]:
    """Grade a file or a folder; the result is what ``starwatt grade --samples FILE --json`` prints.

    As evalplus has it, ``solution`` is the whole program and ``completion`` follows the task's prompt; both are taken
    as they are, or with ``sanitize`` as evalplus' sanitiser makes them. ``pass_at_1`` is the mean over the tasks in the
    file of the share of their samples that pass; ``pass_at_k`` has it for every k that they all have samples for.
    ``sample`` counts the samples of a task from 0. Raises ``UsageError`` (file, line, field) for a bad file and
    ``GradingError`` as ``grade`` does.
    """
    programs = [replace(program, sanitize=sanitize) for program in read_samples(path, dataset)]
    verdicts = judge_programs(dataset, programs, **how)
    seen: Counter[str] = Counter()
    grades = []
    for program, verdict in zip(programs, verdicts, strict=True):
        said = {name: value for name, value in asdict(verdict).items() if name != "kept"}
        grades.append({"task_id": program.task_id, "sample": seen[program.task_id], **said})
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
    """Compute pass@k by k (as text, for JSON) and kind, of (task, base, plus); k to the fewest samples of a task."""
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
