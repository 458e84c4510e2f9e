"""Own prompts through every command: asked as they stand, kept, compared by digest, and never graded as wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from analysis.grading import Candidate, grade
from configs.datasets import load_dataset
from loadgen.flags import LoadFlags
from loadgen.planning.payload import Endpoint, request_bytes
from study.plan.prompts import kept_prompts
from tests.configs.test_own_prompts import TESTS, written
from tests.golden.elsewhere import EngineElsewhere
from tests.golden.nvml.world import BoardModel, GoldenBoards
from tests.server.power.conftest import A
from tests.support.command import starwatt
from traces.layout import RunDir
from traces.streams import read_trace

PROMPTS = tuple({"prompt": f"// write {n} lines  \n", "max_tokens": 3 + n % 3} for n in range(6))


def study_of(folder: Path, url: str) -> Path:
    """A study of an engine elsewhere, one block, two loads."""
    study: dict[str, Any] = {
        "name": "own",
        "models": ["golden"],
        "baseline": "far",
        "variants": ["far"],
        "remote": {"far": {"url": url, "meter": "local"}},
        "loads": [{"kind": "closed", "concurrency": 2}],
        "prompts": {"dataset": "./prompts.jsonl", "max_tokens": 12},
        "measure": {"passes": 1, "min_s": 1},
        "phases": {"idle_s": 0.5, "warmup_s": 0.2, "rest_s": 0},
        "blocks": 1,
    }
    path = folder / "study.yaml"
    path.write_text(json.dumps(study))
    return path


def test_a_study_of_own_prompts_is_measured_kept_reported_and_not_graded(tmp_path: Path) -> None:
    source = written(tmp_path, *PROMPTS)
    boards = GoldenBoards(tmp_path / "world", [BoardModel(A)], idle_w=50.0)
    with EngineElsewhere(boards) as endpoint:
        study = study_of(tmp_path, endpoint.url)
        done = starwatt("run", study, "--out", tmp_path / "run")
        assert "pass@1 will be missing (no_tests): prompts.jsonl has no tests" in done.stderr
        run = RunDir(tmp_path / "run")
        (key,) = run.finished_cells()
        measured = [
            row for row in read_trace(run.cell(key), "requests").to_pylist() if row["role"] == "measured"
        ]
        assert {row["task_id"] for row in measured} == {f"own/{n}" for n in range(6)}
        assert all(row["output_tokens"] == 3 + int(row["task_id"][4:]) % 3 for row in measured)
        accuracy = pq.read_table(run.table("accuracy")).to_pylist()
        assert {(row["graded"], row["reason"], row["base_passed"]) for row in accuracy} == {
            (False, "no_tests", None)
        }
        rows = {row["metric"]: row for row in pq.read_table(run.table("cells")).to_pylist()}
        assert rows["pass_at_1_plus"]["value"] is None
        assert "no_tests" in rows["pass_at_1_plus"]["reasons"]
        assert "no_tests" not in rows["j_per_request"]["reasons"]
        assert "no_tests" in run.report.read_text(encoding="utf-8")
        manifest = json.loads(run.manifest.read_text())
        assert manifest["dataset"]["sha256"] == load_dataset(str(source)).sha256
        verified = json.loads(starwatt("verify", run.root, "--json").stdout)
        assert {finding["kind"] for finding in verified["findings"]} <= {"invalid_cell"}
        graded = starwatt("grade", run.root, "--json")
        assert graded.returncode == 0, graded.stderr
        assert "nothing is graded (no_tests)" in graded.stderr
        assert json.loads(graded.stdout)["pass_at_1"] is None

        written(tmp_path, *PROMPTS[:-1], {"prompt": "something else"})
        refused = starwatt("run", study, "--out", run.root)
        assert refused.returncode == 2
        assert "are not those that this run asks" in refused.stderr
    assert load_dataset(str(kept_prompts(run))).sha256 == manifest["dataset"]["sha256"]


def test_own_prompts_load_an_endpoint_and_are_kept(tmp_path: Path) -> None:
    source = written(tmp_path, *PROMPTS)
    with EngineElsewhere(GoldenBoards(tmp_path / "world", [BoardModel(A)], idle_w=50.0)) as endpoint:
        arguments = ("--url", endpoint.url, "--model", "golden", "--concurrency", 2, "--requests", 6)
        done = starwatt(
            "load", *arguments, "--dataset", source, "--out", tmp_path / "out", "--meter", "local"
        )
    assert done.returncode in (0, 3), done.stderr
    run = RunDir(tmp_path / "out")
    assert load_dataset(str(kept_prompts(run))).sha256 == load_dataset(str(source)).sha256
    assert {row["reason"] for row in pq.read_table(run.table("accuracy")).to_pylist()} == {"no_tests"}
    wrong = starwatt(
        "load", *arguments, "--dataset", written(tmp_path, {"promt": "a"}), "--out", tmp_path / "wrong"
    )
    assert wrong.returncode == 2
    assert "prompts.jsonl:1: promt: no such field" in wrong.stderr
    assert not (tmp_path / "wrong").exists()


def body_of(task_of: Path) -> dict[str, Any]:
    """What is sent for the first prompt of a file."""
    flags = LoadFlags(
        url="http://h", model="m", single_stream=True, concurrency=None, qps=None, arrivals=None, trace=None,
        duration=None, requests=1, warmup=0, dataset=str(task_of), max_tokens=99, ignore_eos=False, seed=1,
        workers=1, client="auto",
    )  # fmt: skip
    spec = flags.spec()
    task = load_dataset(spec.prompts.dataset).tasks[0]
    body: dict[str, Any] = json.loads(
        request_bytes(Endpoint.parse("http://h"), spec, task, None).split(b"\r\n\r\n")[1]
    )
    return body


def test_a_prompt_without_tests_is_sent_as_it_stands_and_one_with_tests_as_a_task(tmp_path: Path) -> None:
    plain = body_of(written(tmp_path, {"prompt": "a \n", "stop": ["END"]}))
    assert (plain["prompt"], plain["stop"], plain["max_tokens"]) == ("a \n", ["END"], 99)
    assert "stop" not in body_of(written(tmp_path, {"prompt": "a"}))
    tested = body_of(written(tmp_path, {"prompt": "def add(a, b):\n", **TESTS, "max_tokens": 5}))
    assert (tested["prompt"], tested["max_tokens"]) == ("def add(a, b):", 5)
    assert "\ndef " in tested["stop"]


def test_own_tests_grade_answers(tmp_path: Path) -> None:
    task = {"prompt": "def add(a, b):\n", **TESTS, "plus_input": [[-1, -2]]}
    dataset = load_dataset(str(written(tmp_path, task)))
    answers = ("\n    return a + b\n", "\n    return abs(a) + abs(b)\n", "\n    return a\n")
    candidates = [Candidate(number, "own/0", answer) for number, answer in enumerate(answers)]
    verdicts = [(graded.base, graded.plus) for graded in grade(dataset, candidates)]
    assert verdicts == [(True, True), (True, False), (False, False)]
