"""Read recorded answer lengths: from a table, or from what a finished run's baseline answered."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from analysis.accuracy.grades import completed
from configs.files.strict import MOST_TOKENS
from configs.files.text_files import TABLE_BYTES, read_text
from configs.loader import LENGTHS, kept_study
from configs.schema import RecordedOutput, Study
from starwatt_errors import TraceError, UsageError
from study.grading import sound_cells
from traces.atomic import write_text
from traces.layout import RunDir, model_slug
from traces.pieces import open_trace

COLUMNS = ["model", "task_id", "tokens"]
_LONGEST = 40  # characters of a value that are shown


def forced_lengths(run: RunDir, study: Study, tasks: list[str]) -> dict[str, dict[str, int]]:
    """Return the tokens of each answer, by model's name in paths and by task, and keep them in the run.

    Empty unless the study takes recorded lengths.

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
    """Return what ``forced_lengths`` gives, without writing anything: from the run, where it keeps them.

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
                f"prompts.max_tokens must be at least {longest}: so long is an answer in {output.recorded}"
            )
    return {model: {task: lengths[task] for task in tasks} for model, lengths in recorded.items()}


def recorded_lengths(place: Path, model: str) -> dict[str, int]:
    """Read the tokens by task, from a table or a run directory.

    Raises:
        UsageError: it is neither, or the run has no natural answers of that model's baseline.
    """
    return _of_run(RunDir(place), model) if place.is_dir() else read_table(place, model)


def read_table(path: Path, model: str) -> dict[str, int]:
    """Read a CSV file with ``task_id`` and ``tokens``; a column ``model`` says whose. Lines with # first are notes.

    Raises:
        UsageError: it is no such table.
    """
    lines = read_text(path, TABLE_BYTES).splitlines()
    noted = {number for number, line in enumerate(lines, start=1) if line.startswith("#")}
    numbers = [number for number in range(1, len(lines) + 1) if number not in noted]
    rows = csv.DictReader(lines[number - 1] for number in numbers)
    lengths: dict[str, int] = {}
    try:
        if rows.fieldnames is None or not {"task_id", "tokens"} <= set(rows.fieldnames):
            raise UsageError(f"{path}: takes a CSV file with the columns task_id and tokens")
        for row in rows:
            if row.get("model") not in (None, model):
                continue
            where = f"{path}:{numbers[rows.line_num - 1]}"
            if not row["task_id"] or row["task_id"] in lengths:
                raise UsageError(f"{where}: task_id takes each task once (given: {_short(row['task_id'])})")
            lengths[row["task_id"]] = _tokens(where, row["tokens"])
    except csv.Error as error:
        where = f"{path}:{numbers[rows.line_num - 1]}" if rows.line_num else str(path)
        raise UsageError(f"{where}: is no line of a CSV file: {error}") from error
    return lengths


def _tokens(where: str, text: str | None) -> int:
    if not re.fullmatch("[0-9]{1,9}", text or "") or not 1 <= int(text or 0) <= MOST_TOKENS:
        raise UsageError(
            f"{where}: tokens takes a whole number from 1 to {MOST_TOKENS} (given: {_short(text)})"
        )
    return int(text or 0)


def _short(text: str | None) -> str:
    return "nothing" if text is None else repr(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")


def _of_run(run: RunDir, model: str) -> dict[str, int]:
    """Read the baseline's lengths: single-stream before other loads, the first block, each task's first answer."""
    if not run.study.is_file():
        raise UsageError(f"prompts.output.recorded: {run.root} is no run of a study")
    study = kept_study(run.study)
    if study.prompts.output != "natural":
        raise UsageError(
            f"prompts.output.recorded: {run.root} forced its answers itself: take a run with output: natural"
        )
    single = {load.slug for load in study.loads if load.kind == "single_stream"}
    keys = [key for key in sound_cells(run) if (key.model, key.variant) == (model, study.baseline)]
    for key in sorted(keys, key=lambda cell: (cell.load not in single, cell.block, cell.load)):
        try:
            requests = open_trace(run.cell(key), "requests").read(
                ["role", "status", "task_id", "output_tokens"]
            )
        except TraceError:
            continue
        rows = completed(requests).select(["task_id", "output_tokens"]).to_pylist()
        return {row["task_id"]: row["output_tokens"] for row in reversed(rows) if row["output_tokens"]}
    raise UsageError(
        f"prompts.output.recorded: {run.root} has no finished cell of its baseline {study.baseline} with {model}"
    )
