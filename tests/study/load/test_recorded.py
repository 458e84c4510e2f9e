"""``starwatt load --trace`` of a recording with lengths, and a study of one: told, measured, and never graded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from configs.loader import load_study
from starwatt_errors import UsageError
from study.cli.app import app
from study.load.recorded import prepared
from tests.golden.elsewhere import EngineElsewhere
from tests.golden.nvml.world import BoardModel, GoldenBoards
from tests.server.engines.test_asking import answering
from tests.server.power.conftest import A
from tests.support.busy import says
from tests.support.command import starwatt
from tests.support.driving import make_spec
from traces.layout import RunDir
from traces.streams import read_trace

BURST_GPT = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,300,4,304,Conversation log
5.1,ChatGPT,87,0,87,Conversation log
5.2,GPT-4,41,3,44,API log
5.3,GPT-4,1900,200,2100,API log
"""


def engine(folder: Path) -> EngineElsewhere:
    """One that counts four characters as a token, and takes 2048 of them."""
    return EngineElsewhere(GoldenBoards(folder / "world", [BoardModel(A)], idle_w=50.0))


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    (tmp_path / "burst.csv").write_text(BURST_GPT)
    return tmp_path / "burst.csv"


def test_a_recording_is_replayed_and_what_its_lengths_came_to_is_said(
    tmp_path: Path, recording: Path
) -> None:
    out = tmp_path / "out"
    with engine(tmp_path) as endpoint:
        arguments = ["load", "--url", endpoint.url, "--model", "golden", "--trace", str(recording)]
        beyond = CliRunner().invoke(app, [*arguments, "--out", str(out)])
        assert isinstance(beyond.exception, UsageError)
        assert "1 of 3 requests have no room in 2048 tokens" in str(beyond.exception)
        assert "--most-tokens 2048 leaves them out" in str(beyond.exception)
        assert not out.exists()
        done = CliRunner().invoke(app, [*arguments, "--most-tokens", "2048", "--out", str(out), "--json"])
    assert "1 of 4 requests are left out: no prompt, or no answer (0 tokens)" in done.stderr
    assert "1 of 4 requests are left out: more tokens than most_tokens" in done.stderr
    assert "prompts have their lengths in the mean alone" in done.stderr
    told = json.loads(done.stdout)["recording"]
    assert (told["requests"], told["unanswered"], told["too_long"], told["counted"]) == (
        2,
        1,
        1,
        "in the mean",
    )
    assert told["outputs"] == {"counted": 2, "other": 0, "largest": 0}
    assert abs(told["prompts"]["largest"]) < 12
    rows = sorted(read_trace(out, "requests").to_pylist(), key=lambda row: row["scheduled_ns"])
    asked = [
        (row["asked_prompt_tokens"], row["asked_output_tokens"]) for row in rows if row["role"] == "measured"
    ]
    assert asked == [(300, 4), (41, 3)]
    assert all(row["output_tokens"] == row["asked_output_tokens"] for row in rows if row["status"] == "ok")
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["dataset"]["name"], manifest["dataset"]["tasks"]) == ("burst.csv", 0)
    graded = CliRunner().invoke(app, ["grade", str(out), "--json"])
    assert graded.exit_code == 0
    assert "nothing is graded (made_up_prompts): burst.csv has lengths alone" in graded.stderr


@pytest.mark.parametrize(
    ("given", "models"),
    [
        ("http://engine.invalid:8000", "http://engine.invalid:8000/v1/models"),
        ("http://engine.invalid/api/v1/", "http://engine.invalid/api/v1/models"),
        ("http://engine.invalid/v1/completions", "http://engine.invalid/v1/models"),
        ("http://engine.invalid/v1/completions?version=1", "http://engine.invalid/v1/models"),
    ],
)
def test_a_server_s_context_is_asked_by_the_load_s_own_way_and_of_its_own_address(
    recording: Path, monkeypatch: pytest.MonkeyPatch, given: str, models: str
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    listed = {"data": [{"id": "m", "max_model_len": 2048}]}
    with answering({models: json.dumps(listed).encode()}) as (proxy, _):
        monkeypatch.setenv("http_proxy", proxy)
        load = {"kind": "open", "trace": str(recording)}
        with pytest.raises(UsageError, match="1 of 3 requests have no room in 2048 tokens"):
            prepared(make_spec(given, load, client="aiohttp"), None)


def study_of(folder: Path, url: str, most_tokens: int | None) -> Path:
    """A data set one request at a time, and a recording, of an engine elsewhere."""
    study: dict[str, Any] = {
        "name": "recorded", "models": ["golden"], "baseline": "far", "variants": ["far"],
        "remote": {"far": {"url": url, "meter": "local"}},
        "loads": [
            {"kind": "single_stream"}, {"kind": "open", "trace": "burst.csv", "most_tokens": most_tokens},
        ],
        "prompts": {"dataset": "./own.jsonl", "max_tokens": 4},
        "measure": {"passes": 1, "min_s": 0.5}, "phases": {"idle_s": 0.5, "warmup_s": 0, "rest_s": 0}, "blocks": 1,
    }  # fmt: skip
    (folder / "own.jsonl").write_text(json.dumps({"prompt": "// write it down"}) + "\n")
    (folder / "study.yaml").write_text(json.dumps(study))
    return folder / "study.yaml"


@pytest.mark.usefixtures("recording")
def test_a_study_replays_a_recording_keeps_it_and_compares_it_with_no_other_load(tmp_path: Path) -> None:
    with engine(tmp_path) as endpoint:
        refused = CliRunner().invoke(app, ["run", str(study_of(tmp_path, endpoint.url, None)), "--dry-run"])
        assert isinstance(refused.exception, UsageError)
        assert "loads.1.trace: 1 of 3 requests have no room in 2048 tokens" in str(refused.exception)
        done = starwatt("run", study_of(tmp_path, endpoint.url, 2048), "--out", tmp_path / "run")
    assert "open-trace-burst: pass@1 will be missing (made_up_prompts)" in done.stderr
    assert "open-trace-burst: 1 of 4 requests are left out: more tokens" in done.stderr
    run = RunDir(tmp_path / "run")
    assert (run.root / "arrivals" / "open-trace-burst" / "burst.csv").read_text() == BURST_GPT
    (tmp_path / "burst.csv").unlink()
    load_study(run.study)  # readable without it
    cells = pq.read_table(run.table("cells")).to_pylist()
    accuracy = {row["load"]: row["reasons"] for row in cells if row["metric"] == "pass_at_1_plus"}
    assert says(accuracy["open-trace-burst"], "made_up_prompts", "no_tests"), accuracy
    assert says(accuracy["single-stream"], "no_tests"), accuracy
    joules = [row for row in cells if row["metric"] == "j_per_request" and row["load"] == "open-trace-burst"]
    assert joules
    assert not any(
        {"made_up_prompts", "lengths_not_kept"} & set(row["reasons"]) for row in joules if row["valid"]
    )
    contrasts = pq.read_table(run.table("contrasts")).to_pylist()
    assert not [row for row in contrasts if row["contrast"] in ("batched_vs_single", "accuracy_vs_single")]
    verified = json.loads(CliRunner().invoke(app, ["verify", str(run.root), "--json"]).stdout)
    assert {finding["kind"] for finding in verified["findings"]} <= {"invalid_cell", "not_graded"}
    report = run.report.read_text(encoding="utf-8")
    assert "made_up_prompts" in report
    assert "lengths_not_kept" in report
