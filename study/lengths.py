"""Recorded answer lengths: from a table, or from what a finished run's baseline answered."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyarrow.compute as pc

from configs.loader import LENGTHS, load_study
from configs.schema import RecordedOutput, Study
from starwatt_errors import TraceError, UsageError
from traces.atomic import write_text
from traces.layout import RunDir, model_slug
from traces.streams import read_trace

COLUMNS = ["model", "task_id", "tokens"]


def forced_lengths(run: RunDir, study: Study, tasks: list[str]) -> dict[str, dict[str, int]]:
    """By model's name in paths and task: tokens; empty unless the study takes recorded lengths. The run keeps them.

    Raises:
        UsageError: as ``lengths_of``.
    """
    lengths = lengths_of(run, study, tasks)
    kept = run.root / LENGTHS
    if lengths and not kept.is_file():
        rows = io.StringIO()
        table = csv.writer(rows, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows((model, task, lengths[model][task]) for model in lengths for task in tasks)
        write_text(kept, rows.getvalue())
    return lengths


def lengths_of(run: RunDir, study: Study, tasks: list[str]) -> dict[str, dict[str, int]]:
    """What ``forced_lengths`` gives, without writing anything: from the run, where it keeps them.

    Raises:
        UsageError: the record lacks a task, or a length is above ``prompts.max_tokens``.
    """
    output = study.prompts.output
    if not isinstance(output, RecordedOutput):
        return {}
    kept = run.root / LENGTHS
    models = [model_slug(model) for model in study.models]
    if kept.is_file():
        return {model: read_table(kept, model) for model in models}
    recorded = {model: recorded_lengths(output.recorded, model) for model in models}
    for model, lengths in recorded.items():
        missing = [task for task in tasks if task not in lengths]
        if missing:
            raise UsageError(
                f"prompts.output.recorded: {output.recorded} has no length for {missing[0]} of {model} "
                f"({len(missing)} of {len(tasks)} tasks are missing)"
            )
        longest = max(lengths[task] for task in tasks)
        if longest > study.prompts.max_tokens:
            raise UsageError(
                f"prompts.max_tokens takes at least {longest}: so long is an answer in {output.recorded}"
            )
    return {model: {task: lengths[task] for task in tasks} for model, lengths in recorded.items()}


def recorded_lengths(place: Path, model: str) -> dict[str, int]:
    """By task, from a table or a run directory.

    Raises:
        UsageError: it is neither, or the run has no natural answers of that model's baseline.
    """
    return _of_run(RunDir(place), model) if place.is_dir() else read_table(place, model)


def read_table(path: Path, model: str) -> dict[str, int]:
    """A CSV file with ``task_id`` and ``tokens``; a column ``model`` says whose. Lines that begin with # are notes.

    Raises:
        UsageError: it is no such table.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        if rows.fieldnames is None or not {"task_id", "tokens"} <= set(rows.fieldnames):
            raise UsageError(f"{path}: takes a CSV file with the columns task_id and tokens")
        lengths = {}
        for number, row in enumerate(rows, start=1):
            if row.get("model") not in (None, model):
                continue
            if not (row["tokens"] or "").isdigit() or int(row["tokens"]) < 1:
                raise UsageError(
                    f"{path}: row {number}: tokens takes a number from 1 on, not {row['tokens']!r}"
                )
            lengths[row["task_id"]] = int(row["tokens"])
    return lengths


def _of_run(run: RunDir, model: str) -> dict[str, int]:
    """The baseline's: single-stream before other loads, the first block, each task's first whole answer."""
    if not run.study.is_file():
        raise UsageError(f"prompts.output.recorded: {run.root} is no run of a study")
    study = load_study(run.study)
    if study.prompts.output != "natural":
        raise UsageError(
            f"prompts.output.recorded: {run.root} forced its answers itself: take a run with output: natural"
        )
    single = {load.slug for load in study.loads if load.kind == "single_stream"}
    keys = [key for key in run.finished_cells() if (key.model, key.variant) == (model, study.baseline)]
    for key in sorted(keys, key=lambda one: (one.load not in single, one.block, one.load)):
        try:
            requests = read_trace(run.cell(key), "requests")
        except TraceError:
            continue
        whole = pc.and_(pc.equal(requests["role"], "measured"), pc.equal(requests["status"], "ok"))
        rows = requests.filter(whole).select(["task_id", "output_tokens"]).to_pylist()
        return {row["task_id"]: row["output_tokens"] for row in reversed(rows) if row["output_tokens"]}
    raise UsageError(
        f"prompts.output.recorded: {run.root} has no finished cell of its baseline {study.baseline} with {model}"
    )
