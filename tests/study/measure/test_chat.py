"""A study by chat, from the request to the report's figures: what is graded, and what was written around it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.tables import read_table
from configs.datasets import Task, load_dataset
from configs.prompt_formats import format_of
from tests.analysis.grading.conftest import sandbox  # noqa: F401 -- a fixture
from tests.golden.elsewhere import EngineElsewhere
from tests.golden.nvml.world import COUNTER, INSTANT, BoardModel, GoldenBoards
from tests.server.power.conftest import A
from tests.support.command import starwatt
from traces.layout import RunDir
from traces.streams import read_trace

STUDY: dict[str, Any] = {
    "name": "chat",
    "models": ["golden"],
    "baseline": "far",
    "variants": ["far"],
    "endpoint": "chat",
    "loads": [{"kind": "closed", "concurrency": 4}],
    "prompts": {"dataset": "starwatt-24", "tasks": 4, "max_tokens": 400},
    "measure": {"passes": 1, "min_s": 0},
    "phases": {"idle_s": 0.5, "warmup_s": 0, "rest_s": 0},
    "blocks": 1,
}
BEFORE, AFTER = "Sure, here it is:\n\n```python\n", "\n```\n\nIt does what was asked for."


def answer_to(task: Task) -> str:
    """A right program, with words around it."""
    return f"{BEFORE}{task.prompt}{task.canonical_solution.rstrip()}{AFTER}"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineElsewhere]:
    """It knows every task of the bundled set by chat, and none by completion."""
    boards = GoldenBoards(tmp_path / "world", [BoardModel(A, offers=INSTANT | COUNTER)], idle_w=50.0)
    tasks = load_dataset("starwatt-24").tasks
    answers = {format_of(task, "chat").render(task.prompt): answer_to(task) for task in tasks}
    with EngineElsewhere(boards, answers=answers) as endpoint:
        yield endpoint


def study_file(folder: Path, engine: EngineElsewhere) -> Path:
    path = folder / "study.yaml"
    path.write_text(json.dumps({**STUDY, "remote": {"far": {"url": engine.url}}}))
    return path


@pytest.mark.usefixtures("sandbox")
def test_the_program_in_a_chat_is_graded_and_the_words_around_it_are_counted(
    tmp_path: Path, engine: EngineElsewhere
) -> None:
    out = tmp_path / "run"
    done = starwatt("run", study_file(tmp_path, engine), "--out", out, "--json")
    assert done.returncode == 3, done.stderr  # nothing records power
    run = RunDir(out)
    [key] = run.finished_cells()
    requests = read_trace(run.cell(key), "requests")
    grades = {row["request_id"]: row for row in read_trace(run.cell(key), "grades").to_pylist()}
    tasks = load_dataset("starwatt-24").by_id
    outside = every = 0
    for row in requests.to_pylist():
        if row["role"] == "measured":
            assert row["completion"] == answer_to(tasks[row["task_id"]])
            assert grades[row["request_id"]]["plus"]
            edges = grades[row["request_id"]]["solution_chars"]
            kept = sum(end - start for start, end in zip(edges[::2], edges[1::2], strict=True))
            outside, every = outside + len(row["completion"]) - kept, every + len(row["completion"])
    cells = read_table(run, "cells").to_pandas().set_index("metric")
    assert cells.value["pass_at_1_plus"] == 1
    assert cells.value["tokens_outside_solution_share"] == pytest.approx(outside / every, abs=0.02)


def test_an_engine_that_can_be_asked_no_chat_is_found_out_before_anything_is_measured(
    tmp_path: Path, engine: EngineElsewhere
) -> None:
    engine.has_template = False
    done = starwatt("run", study_file(tmp_path, engine), "--out", tmp_path / "run", "--dry-run")
    assert done.returncode == 2
    assert "default chat template" in done.stderr
    assert "endpoint: completions" in done.stderr
    assert not engine.steps
