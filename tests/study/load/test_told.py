"""What a load test tells a person at its end: figures that fit, why some are missing, and where all of it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from study.cli.app import app
from tests.support.server import Answer, TruthServer


def said(out: Path, url: str, *flags: str) -> str:
    """What a short load prints at 80 columns."""
    arguments = ["load", "--url", url, "--model", "m", "--requests", "4", "--out", str(out), *flags]
    done = CliRunner(env={"COLUMNS": "80"}).invoke(app, arguments)
    assert done.exit_code in (0, 3), (done.output, done.exception)
    return done.output


def test_a_sweep_is_told_by_rate_without_joules_that_nobody_metered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with TruthServer() as server:
        told = said(Path("out"), server.url, "--qps", "30,60.5", "--arrivals", "poisson")
    rows = [
        line.split("│")[1].split()
        for line in told.partition("by rate")[2].splitlines()
        if line.startswith("│")
    ]
    assert [row[0] for row in rows] == ["30", "60.5"]
    assert "J/request" not in told
    assert "latencies in ms" in told
    assert "…" not in told
    assert "out/sweep.json" in told


@pytest.mark.parametrize("usage", ["each", "none"])
def test_a_server_that_counts_no_tokens_is_why_there_are_none_and_the_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, usage: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with TruthServer(lambda _: Answer(gap_s=0.002, usage="each" if usage == "each" else "none")) as server:
        told = said(Path("out"), server.url, "--single-stream")
    assert ("tokens_unknown" in told) == (usage == "none")
    assert "written: out (starwatt report out)" in told


def test_runs_lists_those_of_a_sweep_and_says_what_a_load_test_completed(tmp_path: Path) -> None:
    with TruthServer() as server:
        said(tmp_path / "runs" / "sweep", server.url, "--qps", "30,60")
        said(tmp_path / "runs" / "one", server.url, "--single-stream")
    listed = json.loads(CliRunner().invoke(app, ["runs", str(tmp_path / "runs"), "--json"]).output)
    assert {str(Path(run["run"]).relative_to(tmp_path / "runs")) for run in listed} == {
        "one", "sweep/open-30-poisson", "sweep/open-60-poisson",
    }  # fmt: skip
    assert all(run["answer"].startswith("4 of 4 requests, ") for run in listed)
