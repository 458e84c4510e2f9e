"""The paper's own engine: Hugging Face's generate behind the same endpoint, health and trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from server.engines.engine import free_port
from tests.live.conftest import Command
from traces.cell import read_cell
from traces.layout import RunDir
from traces.streams import read_trace

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

STUDY = """
name: hf
models: [starcoder2-memorised]
baseline: bf16-hf
variants: [bf16-hf]
loads: [{kind: single_stream}]
prompts: {dataset: starwatt-24, tasks: 6, max_tokens: 96, output: OUTPUT}
measure: {passes: 1, min_s: 0}
phases: {idle_s: 1, warmup_s: 0}
blocks: 1
engine: {max_model_len: 512}
"""


@pytest.mark.parametrize(
    ("output", "lengths"), [("natural", None), pytest.param("{fixed: 24}", {24}, marks=pytest.mark.long)]
)
def test_a_study_is_measured_on_transformers(
    starwatt: Callable[..., Command], tmp_path: Path, output: str, lengths: set[int] | None
) -> None:
    (tmp_path / "study.yaml").write_text(STUDY.replace("OUTPUT", output))
    command = starwatt("run", "study.yaml", "--out", "run")
    assert command.end() in (0, 3), command.said  # 3: on a busy machine a cell may be measured but invalid
    assert command.left_behind() == []
    run = RunDir(tmp_path / "run")
    [key] = run.finished_cells()
    requests = [row for row in read_trace(run.cell(key), "requests").to_pylist() if row["role"] == "measured"]
    assert [row["status"] for row in requests] == ["ok"] * 6, [row["error"] for row in requests]
    assert all(row["first_token_ns"] and row["prompt_tokens"] and row["output_tokens"] for row in requests)
    assert lengths is None or {row["output_tokens"] for row in requests} == lengths
    record = read_cell(run.cell(key))
    assert record.served.engine == "transformers"
    assert (record.served.version or "").startswith("transformers ")
    assert record.served.memorised
    assert read_trace(run.cell(key), "power").num_rows > 0
    if output == "natural":
        grades = read_trace(run.cell(key), "grades").to_pylist()
        assert sum(grade["plus"] for grade in grades) >= 5, "the model has memorised these tasks"


def test_serve_prints_the_endpoint_of_a_paper_variant_and_leaves_nothing_behind(
    starwatt: Callable[..., Command],
) -> None:
    server = starwatt("serve", "fp4-bnb-hf", "--model", "starcoder2-memorised", "--port", str(free_port()))
    server.until(lambda: "curl " in server.said)
    assert server.interrupt() == 130
    assert server.left_behind() == []
