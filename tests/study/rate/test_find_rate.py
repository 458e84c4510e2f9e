"""``starwatt load --find-rate`` as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from starwatt_errors import LoadError, UsageError
from study.cli.app import app
from study.exit_codes import INVALID
from tests.support.command import starwatt
from tests.support.server import Answer, TruthServer
from traces.layout import RunDir
from traces.streams import read_trace

LOAD = ["load", "--url", "http://127.0.0.1:1", "--model", "m", "--find-rate"]
WRONG = {
    "--find-rate takes the objective": [],
    "--slo ttft=fast: takes bounds": ["--slo", "ttft=fast"],
    "--qps: takes one rate": ["--slo", "ttft=1s", "--qps", "1,2"],
    "--single-stream says nothing": ["--slo", "ttft=1s", "--single-stream"],
    "--requests says nothing": ["--slo", "ttft=1s", "--requests", "5"],
    "--concurrency: takes a number up to": ["--slo", "ttft=1s", "--concurrency", "70000"],
    "--workers: an open load with": ["--slo", "ttft=1s", "--concurrency", "8", "--workers", "2"],
    "--qps 9: the rate to begin with": ["--slo", "ttft=1s", "--qps", "9", "--most-qps", "8"],
    "--duration 0.1: with --find-rate": ["--slo", "ttft=1s", "--duration", "0.1"],
    "--meter nowhere: takes local": ["--slo", "ttft=1s", "--meter", "nowhere"],
}


@pytest.mark.parametrize("words", WRONG)
def test_flags_that_do_not_go_together_are_refused_before_anything_is_asked(
    words: str, tmp_path: Path
) -> None:
    done = CliRunner().invoke(app, [*LOAD, *WRONG[words], "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, UsageError)
    assert str(done.exception).startswith(words)
    assert not (tmp_path / "out").exists()


def test_flags_of_a_search_are_refused_without_one(tmp_path: Path) -> None:
    load = [flag for flag in LOAD if flag != "--find-rate"]
    done = CliRunner().invoke(app, [*load, "--qps", "5", "--slo-share", "0.9", "--out", str(tmp_path)])
    assert isinstance(done.exception, UsageError)
    assert str(done.exception) == "--slo-share goes with --find-rate"


def test_a_server_that_refuses_every_second_request_holds_no_rate_and_says_so(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with TruthServer(lambda asked: Answer(status=503 if asked.number % 2 else 200)) as server:
        done = starwatt(
            "load", "--url", server.url, "--model", "m", "--find-rate", "--slo", "ttft=300s,e2e=600s", "--out", out,
            "--json",
        )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "no rate holds 90 % of requests within ttft 300000 ms, e2e 600000 ms" in done.stderr
    said = json.loads(done.stdout)
    assert said == json.loads((out / "rate.json").read_text())
    assert (said["kind"], said["rate"], said["windows"]) == ("none", None, [])
    assert said["alone"]["share"] == 0.5
    assert len(server.asked) == said["alone"]["requests"]


def test_a_server_that_answers_nobody_is_an_error_in_its_own_words(tmp_path: Path) -> None:
    refusal = Answer(status=401, content=b'{"error": {"message": "who are you?"}}')
    with TruthServer(lambda _: refusal) as server:
        url = ["load", "--url", server.url, *LOAD[3:]]
        done = CliRunner().invoke(app, [*url, "--slo", "ttft=1s", "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, LoadError)
    assert "HTTP 401" in str(done.exception)
    assert "who are you?" in str(done.exception)


def test_every_window_is_a_load_test_and_the_last_has_its_joules(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with TruthServer() as server:
        done = starwatt(
            "load", "--url", server.url, "--model", "m", "--find-rate", "--slo", "ttft=30s", "--qps", 60,
            "--arrivals", "constant", "--duration", 1, "--search-for", 1, "--meter", "local", "--warmup", 1,
            "--out", out, "--json",
        )  # fmt: skip
    said = json.loads(done.stdout)
    assert done.returncode in (0, INVALID), done.stderr  # by how busy the machine is, its generator is late
    assert said["kind"] in ("at_least", "unknown")
    assert {window["says"] for window in said["windows"]} <= {"holds", "nothing"}
    folders = sorted(folder.name for folder in out.iterdir() if folder.is_dir())
    assert folders[:2] == ["w01-single-stream", "w02-open-60-constant"]
    assert len(folders) == len(said["windows"]) + 1
    for folder in folders:
        [key] = RunDir(out / folder).finished_cells()
        assert read_trace(RunDir(out / folder).cell(key), "requests").num_rows > 0
    if said["kind"] == "at_least" and said["confirmed"]:
        assert said["folder"] in folders
        assert said["lo"] == said["rate"] >= 60  # constant arrivals do not differ from their rate by chance
        if done.returncode == 0:
            assert said["j_per_good_request"] > 0
