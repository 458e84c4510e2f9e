"""HumanEval+ itself through the load generator: the real 164 prompts."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.datasets import load_dataset
from tests.support.driving import closed, drive, make_spec
from tests.support.server import Answer, TruthServer

HUMANEVAL_PLUS = Path(__file__).parents[4] / "shared" / "data" / "HumanEvalPlus.jsonl.gz"


@pytest.mark.skipif(not HUMANEVAL_PLUS.is_file(), reason="HumanEvalPlus.jsonl.gz is not here")
def test_a_pass_over_humaneval_plus_asks_all_164_prompts_without_their_trailing_white_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUMANEVAL_OVERRIDE_PATH", str(HUMANEVAL_PLUS))
    with TruthServer(lambda _: Answer()) as server:
        prompts = {"dataset": "humaneval+", "tasks": "all", "max_tokens": 64}
        driven = drive(make_spec(server.url, closed(8), prompts=prompts), tmp_path)
    measured = driven.of("measured")
    assert sorted(row["task_id"] for row in measured) == sorted(f"HumanEval/{n}" for n in range(164))
    assert {row["status"] for row in measured} == {"ok"}
    asked = {request.body["prompt"] for request in server.asked}
    assert asked == {task.prompt.rstrip() for task in load_dataset("humaneval+").tasks}
