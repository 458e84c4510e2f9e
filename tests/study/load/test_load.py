"""``starwatt load`` and ``starwatt meter`` end to end, as processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from analysis.accuracy.grader import GRADER_VERSION, grader_of
from analysis.tables import read_table
from starwatt_errors import UsageError
from study.cli.app import app
from study.exit_codes import INVALID
from study.load.metering import meter_of
from study.measure.chat_trial import refuse_without_chat
from study.measure.meter import Recorded, server_pid
from tests.server.power.conftest import busy_pid  # noqa: F401 -- a fixture
from tests.support.busy import PATIENCE_S
from tests.support.command import start, starwatt
from tests.support.server import Answer, Asked, TruthServer
from traces.layout import RunDir
from traces.streams import read_trace

KEY = "sk-quite-secret-23"


def test_a_load_test_leaves_its_requests_and_a_summary_that_agrees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STARWATT_API_KEY", KEY)
    out = tmp_path / "out"
    with TruthServer(lambda asked: Answer(status=500 if asked.number == 3 else 200)) as server:
        url = server.url.replace("http://", "http://user:password@")
        done = starwatt(
            "load", "--url", url, "--model", "m", "--concurrency", 2, "--requests", 12, "--out", out, "--json"
        )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert json.loads((out / "summary.json").read_text()) == summary
    assert {path.name for path in out.iterdir()} == {
        "requests.parquet", "schedule.parquet", "summary.json", "manifest.json", "plan.parquet", "cells",
    }  # fmt: skip
    rows = [row for row in read_trace(out, "requests").to_pylist() if row["role"] == "measured"]
    assert len(rows) == 12
    metrics = summary["metrics"]
    assert (metrics["measured_requests"], metrics["completed_requests"], metrics["failed_requests"]) == (
        12,
        11,
        1,
    )
    assert summary["errors"] == {"http_error": 1}
    assert (summary["load"]["kind"], summary["interrupted"]) == ("closed", False)
    ok = [row for row in rows if row["status"] == "ok"]
    ttft_ms = sum(row["first_token_ns"] - row["scheduled_ns"] for row in ok) / len(ok) * 1e-6
    assert metrics["ttft_ms"]["mean"] == pytest.approx(ttft_ms)
    assert {asked.headers["authorization"] for asked in server.asked} == {f"Bearer {KEY}"}
    for file in (path for path in out.rglob("*") if path.is_file()):
        assert KEY.encode() not in file.read_bytes()
        assert b"password" not in file.read_bytes()


NO_TEMPLATE = b"""{"error": {"message": "As of transformers v4.44, default chat template is no longer allowed, so you
 must provide a chat template if the tokenizer does not define one.", "type": "BadRequestError", "code": 400}}"""


def test_a_server_at_the_whole_address_of_a_chat_is_known(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1/chat/completions"
        assert server_pid(url) == os.getpid()
    left = Recorded()
    with meter_of(url, None)(tmp_path, left):
        pass
    assert left.node is not None
    assert left.node.name == "127.0.0.1"


def test_a_server_without_a_chat_template_is_asked_once_and_the_load_is_not_begun(tmp_path: Path) -> None:
    with TruthServer(lambda _: Answer(status=400, content=NO_TEMPLATE)) as server:
        done = CliRunner().invoke(
            app,
            ["load", "--url", server.url, "--model", "m", "--single-stream", "--requests", "9",
             "--endpoint", "chat", "--out", str(tmp_path / "out")],
        )  # fmt: skip
    assert isinstance(done.exception, UsageError)
    for said in ("must provide a chat template", "--chat-template FILE", "--endpoint completions"):
        assert said in str(done.exception)
    assert [asked.path for asked in server.asked] == ["/v1/chat/completions"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("status", [200, 401, 429, 503])
def test_a_server_that_answers_or_fails_otherwise_is_left_to_the_load(status: int) -> None:
    with TruthServer(lambda _: Answer(status=status)) as server:
        refuse_without_chat(server.url, "m", None)
    assert len(server.asked) == 1


def test_a_refused_connection_is_exit_code_1_with_the_address(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        done = starwatt(
            "load",
            "--url",
            url,
            "--model",
            "m",
            "--single-stream",
            "--requests",
            1,
            "--out",
            tmp_path / "out",
            "--json",
        )
    assert done.returncode == 1
    assert "cannot be reached" in json.loads(done.stdout)["error"]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_a_load_test_with_130_and_keeps_its_rows(tmp_path: Path, number: signal.Signals) -> None:
    reached = threading.Event()

    def behave(asked: Asked) -> Answer:
        if asked.number == 20:
            reached.set()
        return Answer()

    with TruthServer(behave) as server:
        process = start(
            "load",
            "--url",
            server.url,
            "--model",
            "m",
            "--qps",
            50,
            "--duration",
            600,
            "--out",
            tmp_path / "out",
        )
        assert reached.wait(PATIENCE_S)
        process.send_signal(number)
        _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert b"what was measured is kept" in said
    assert b"Traceback" not in said
    assert (tmp_path / "out" / "requests.parquet").is_file()
    assert read_trace(tmp_path / "out", "requests").num_rows >= 20


def test_a_metered_load_test_is_a_run_that_analyze_and_report_read(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with TruthServer(lambda _: Answer(gap_s=0.01)) as server:
        done = starwatt(
            "load", "--url", server.url, "--model", "org/m", "--concurrency", 2, "--duration", 2, "--meter", "local",
            "--out", out, "--json",
        )  # fmt: skip
    assert done.returncode in (0, 3), done.stderr
    run = RunDir(out)
    [key] = run.finished_cells()
    assert (key.model, key.variant, key.load, key.block) == ("org--m", "endpoint", "closed-2", 1)
    power_ns = read_trace(run.cell(key), "power")["t_ns"].to_pylist()
    requests = read_trace(run.cell(key), "requests").to_pylist()
    assert power_ns[0] < min(row["sent_ns"] for row in requests), "it was recorded before the load"
    assert power_ns[-1] > max(row["end_ns"] for row in requests), "and behind it"
    assert (out / "requests.parquet").is_file()
    first = run.table("cells").read_bytes()
    run.table("cells").unlink()
    run.report.unlink()
    assert CliRunner().invoke(app, ["analyze", str(out)]).exit_code in (0, 3)
    assert run.table("cells").stat().st_size == pytest.approx(len(first), abs=200)
    assert CliRunner().invoke(app, ["report", str(out)]).exit_code == 0
    assert "<html" in run.report.read_text(encoding="utf-8")


def test_every_command_that_reads_runs_reads_a_load_test_without_a_meter_and_says_its_figures(
    tmp_path: Path,
) -> None:
    out, again = tmp_path / "out", tmp_path / "again"
    with TruthServer(lambda _: Answer(tokens=5, gap_s=0.005)) as server:
        done = starwatt(
            "load", "--url", server.url, "--model", "m", "--qps", 40, "--requests", 24, "--slo", "ttft=600s",
            "--out", out, "--json",
        )  # fmt: skip
    assert done.returncode in (0, INVALID), done.stderr  # a busy machine is late
    shutil.copytree(out, again)

    def code(*words: str) -> int:
        return CliRunner().invoke(app, list(words)).exit_code

    assert code("grade", str(out)) == 0
    assert code("analyze", str(out)) == INVALID  # without power, its joules are missing
    assert code("report", str(out)) == 0
    assert code("verify", str(out)) == INVALID
    assert code("compare", str(out), str(again), "--out", str(tmp_path / "page.html")) == 0
    run, metrics = RunDir(out), json.loads(done.stdout)["metrics"]
    [key] = run.finished_cells()
    grades = read_trace(run.cell(key), "grades")
    assert (grades.num_rows, grader_of(grades.schema.metadata)) == (24, GRADER_VERSION)
    rows = {row["metric"]: row for row in read_table(run, "cells").to_pylist()}
    assert "no_power" in rows["j_per_request"]["reasons"]
    for name in ("request_rate", "output_token_rate"):
        assert metrics[name] == pytest.approx(rows[name]["value"], rel=1e-12)
    for name in ("ttft", "itl", "tpot", "e2e", "dispatch_lag"):
        for statistic, value in metrics[f"{name}_ms"].items():
            assert value == pytest.approx(rows[f"{name}_{statistic}_ms"]["value"], rel=1e-12)
    assert metrics["goodput"] == pytest.approx(metrics["request_rate"])


def test_the_meter_stops_on_ctrl_c_and_leaves_its_readings(tmp_path: Path, busy_pid: int) -> None:  # noqa: F811
    process = start("meter", "--out", tmp_path, "--pid", busy_pid, "--hz", 50)
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, said
    rows = read_trace(tmp_path, "power").to_pylist()
    assert [path.name for path in tmp_path.iterdir()] == ["power.parquet"]
    assert len(rows) > 0
    assert {row["source"] for row in rows} <= {"modelled", "rapl", "nvml"}
    again = CliRunner().invoke(app, ["meter", "--out", str(tmp_path), "--pid", str(busy_pid)])
    assert isinstance(again.exception, UsageError)
    assert len(read_trace(tmp_path, "power")) == len(rows)
