"""``starwatt grade``: a run's measured completions, or a file of samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.grading import grade_samples
from analysis.grading.samples import pass_at_every_k
from configs.datasets import Dataset, check_flag, load_dataset
from starwatt_errors import UsageError, counted
from study.cli.answers import print_json
from study.grading import damaged_cells, grade_cells, graded_rows, ungraded_cells, verdict_cache
from study.plan.prompts import MADE_UP, NO_TESTS, dataset_of, why_not_graded
from study.progress.display import Display, tell
from study.records.existing import existing
from traces.layout import RunDir

_USUAL = "humaneval+"
_CELL = ("model", "variant", "load", "block")


@dataclass(frozen=True)
class GradeOrder:
    """Hold what the command line asks to be graded."""

    run_directory: Path | None
    samples: Path | None
    dataset: str | None
    """Of the samples; None: humaneval+."""
    sanitize: bool
    unsafe_no_sandbox: bool


def grade(order: GradeOrder, *, as_json: bool) -> bool:
    """Grade what is not graded yet, and print the verdicts or their means; returns whether no cell was damaged."""
    _check(order)
    with Display("grading", 1) as display:
        result = _samples(order, display) if order.run_directory is None else _run(order, display)
    if as_json:
        print_json(result)
    elif order.run_directory is None:
        print(_words(result["pass_at_k"], result["tasks"], result["dataset"]))  # noqa: T201
    else:
        print(f"{counted(result['completions'], 'completion')} of {counted(result['cells'], 'cell')} graded")  # noqa: T201
        for row in result["pass_at_k"]:
            block = "all blocks" if row["block"] is None else f"b{row['block']}"
            said = _words(row["pass_at_k"], row["tasks"], result["dataset"])
            print(f"{row['model']} · {row['variant']} · {row['load']} · {block}: {said}")  # noqa: T201
    return not result.get("damaged")


def _check(order: GradeOrder) -> None:
    if (order.run_directory is None) == (order.samples is None):
        raise UsageError("grade takes a run directory, or --samples FILE.jsonl")
    if order.sanitize and order.samples is None:
        raise UsageError("--sanitize goes with --samples: the completions of a run are always sanitised")
    if order.dataset is not None and order.samples is None:
        raise UsageError("--dataset goes with --samples: a run says itself what it was asked")
    check_flag(order.dataset or _USUAL)
    if order.run_directory is not None:
        existing(order.run_directory)
    if order.unsafe_no_sandbox:
        tell(
            "starwatt: generated code runs with your rights on this machine (--unsafe-no-sandbox)",
            style="red",
        )


def _samples(order: GradeOrder, display: Display) -> dict[str, Any]:
    assert order.samples is not None  # noqa: S101 -- checked before
    display.title(str(order.samples))
    dataset = load_dataset(order.dataset or _USUAL)
    why_not = why_not_graded(dataset)
    if why_not:
        raise UsageError(f"--dataset {dataset.name}: {why_not}: samples of it can't be graded")
    result = grade_samples(
        order.samples,
        dataset,
        cache_dir=verdict_cache(),
        on_progress=lambda done, total: display.status(f"{done}/{total} samples"),
        sanitize=order.sanitize,
        unsafe_no_sandbox=order.unsafe_no_sandbox,
    )
    return {**result, "tasks": _tasks(result["grades"], dataset)}


def _run(order: GradeOrder, display: Display) -> dict[str, Any]:
    """Grade the cells that are not graded; then what is known of all of them.

    ``pass_at_1`` is of all completions of the run together; ``pass_at_k`` has each cell, and each variant and load with
    its blocks together (``block`` null).
    """
    from analysis.cells.context import read_context  # pandas and scipy: only what reads a run pays

    assert order.run_directory is not None  # noqa: S101 -- checked before
    display.title(str(order.run_directory))
    run = RunDir(order.run_directory)
    dataset = dataset_of(run)
    why_not = why_not_graded(dataset)
    if why_not:
        tell(f"nothing is graded ({NO_TESTS if dataset.tasks else MADE_UP}): {why_not}")
    cells = [] if why_not else ungraded_cells(run)
    completions = grade_cells(
        run,
        dataset,
        cells,
        lambda done, total: display.status(f"{done}/{total} completions"),
        unsafe_no_sandbox=order.unsafe_no_sandbox,
    )
    rows = graded_rows(run)
    damaged = {str(key): problem for key, problem in damaged_cells(run).items()}
    for name, problem in damaged.items():
        tell(f"not graded: {name}: {problem}")
    sampled = read_context(run)[0].sampled
    return {
        "dataset": dataset.name,
        "dataset_hash": dataset.sha256,
        "cells": len(cells),
        "completions": completions,
        "damaged": damaged,
        "tasks": _tasks(rows, dataset),
        "pass_at_1": _pass_at(rows).get("1"),
        "pass_at_k": _by_cell(rows, dataset, sampled=sampled),
        "grades": rows,
    }


def _tasks(rows: Sequence[dict[str, Any]], dataset: Dataset) -> dict[str, int]:
    """Count the tasks that the rows are of, and those of the set: a part is not called pass@1 of the whole."""
    return {"graded": len({row["task_id"] for row in rows}), "of": len(dataset.tasks)}


def _by_cell(rows: Sequence[dict[str, Any]], dataset: Dataset, *, sampled: bool) -> list[dict[str, Any]]:
    """Return pass@k by cell; pass@1 alone unless answers were ``sampled``, for repeats of greedy ones are one."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        key = tuple(row[name] for name in _CELL)
        for name in (key, (*key[:-1], None)):
            groups.setdefault(name, []).append(row)
    return [
        {
            **dict(zip(_CELL, key, strict=True)),
            "tasks": _tasks(group, dataset),
            "pass_at_k": {k: shares for k, shares in _pass_at(group).items() if sampled or k == "1"},
        }
        for key, group in groups.items()
    ]


def _pass_at(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    return pass_at_every_k((row["task_id"], row["base"], row["plus"]) for row in rows)


def _words(at: dict[str, dict[str, float]], tasks: dict[str, int], dataset: str) -> str:
    shares = "; ".join(
        f"pass@{k} base {share['base']:.3f}, plus {share['plus']:.3f}" for k, share in at.items()
    )
    return f"{shares}; of {tasks['graded']} of {tasks['of']} tasks of {dataset}"
