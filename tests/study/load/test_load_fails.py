"""How ``starwatt load`` ends when it does not go well: what it says, its exit code, and what it leaves."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from analysis.requests.columns import read_columns
from configs.loads import Open
from starwatt_errors import UsageError
from study.cli.app import app
from study.load.model_trial import refuse_unknown_model
from study.load.remarks import first_errors, remarks
from study.load.summary import summarise
from study.load.time_left import TimeLeft
from tests.study.load.test_slo import table
from tests.support.busy import PATIENCE_S
from tests.support.command import start, starwatt
from tests.support.driving import closed, constant, make_spec
from tests.support.server import Answer, Asked, TruthServer
from traces.layout import RunDir
from traces.schemas import REQUESTS
from traces.streams import read_trace

MS = 1_000_000
LOAD = ("load", "--model", "m", "--single-stream")


def failed(*errors: tuple[str, int | None, str]) -> pa.Table:
    """Measured requests that all failed, so."""
    rows = [
        {"end_ns": number, "role": "measured", "status": status, "http_status": http, "error": error}
        for number, (status, http, error) in enumerate(errors)
    ]
    return pa.Table.from_pylist(rows, schema=REQUESTS)


def test_errors_are_told_by_kind_in_the_order_in_which_they_came_with_the_first_ones_words() -> None:
    told = first_errors(
        failed(
            ("http_error", 429, "slow down,\n request 17\x1b[31m"),
            ("connection_error", None, "refused"),
            ("http_error", 429, "slow down, request 18\x1b[31m"),
        )
    )
    assert told == [
        {"status": "http_error", "http_status": 429, "error": "slow down, request 17 [31m", "count": 2},
        {"status": "connection_error", "http_status": None, "error": "refused", "count": 1},
    ]


def test_nothing_completed_is_exit_code_1_and_says_why_everywhere(tmp_path: Path) -> None:
    answer = Answer(status=404, content=b'{"detail":"Not Found: no such model"}')
    with TruthServer(lambda _: answer) as server:
        done = starwatt(*LOAD, "--url", server.url, "--requests", 2, "--out", tmp_path / "out", "--json")
    assert done.returncode == 1
    summary = json.loads(done.stdout)
    assert summary == json.loads((tmp_path / "out" / "summary.json").read_text())
    [kind] = summary["first_errors"]
    assert (kind["status"], kind["http_status"], kind["count"]) == ("http_error", 404, 2)
    assert "no such model" in kind["error"]
    said = " ".join(done.stderr.split())
    assert "2 requests: http_error (HTTP 404)" in said
    assert "no such model" in said
    assert "no request was completed" in said


def test_errors_say_how_many_of_them_were_measured_where_others_failed_alike() -> None:
    table = failed(*[("http_error", 404, "no such model")] * 3)
    roles = pa.array(["warmup", "measured", "filler"], table["role"].type)
    table = table.set_column(table.schema.get_field_index("role"), "role", roles)
    told = first_errors(table)
    assert [(kind["count"], kind["measured"]) for kind in told] == [(3, 1)]
    audit = {"resent": 0, "hard_stops": 0}
    summary = {
        "metrics": {"completed_requests": 0},
        "audit": audit,
        "first_errors": told,
        "gave_up": None,
        "invalid": [],
    }
    assert remarks(summary)[0] == "3 requests, 1 of them measured: http_error (HTTP 404): no such model"


def refuse(asked: Asked) -> Answer:
    """As vLLM answers who names another model than ``m``, or another path."""
    if asked.path.startswith("/v1/") and asked.body["model"] in ("m", "alias"):
        return Answer()
    return Answer(status=404, content=b'{"error": {"message": "there is no such thing"}}')


def test_a_model_that_the_endpoint_neither_lists_nor_serves_is_refused_before_the_load(
    tmp_path: Path,
) -> None:
    with TruthServer(refuse, models=("m",)) as server:
        out = tmp_path / "out"
        arguments = ["load", "--url", server.url, "--single-stream", "--requests", "5", "--out", str(out)]
        done = CliRunner().invoke(app, [*arguments, "--model", "n"])
        assert isinstance(done.exception, UsageError)
        assert f"{server.url}/v1/completions refuses the model n (HTTP status 404: " in str(done.exception)
        assert "there is no such thing" in str(done.exception)
        assert "/v1/models lists: m" in str(done.exception)
        assert len(server.asked) == 1
        assert not out.exists()
        assert CliRunner().invoke(app, [*arguments, "--model", "alias"]).exit_code == 0


@pytest.mark.parametrize("key", [None, "k"])
def test_models_are_asked_for_with_the_credentials_of_the_load(key: str | None) -> None:
    with TruthServer(refuse, models=("m",)) as server:
        url = server.url.replace("://", "://who:what@")
        with pytest.raises(UsageError, match="refuses the model n") as refused:
            refuse_unknown_model(make_spec(url, closed(1), model="n"), key)
        expected = "Bearer k" if key else "Basic d2hvOndoYXQ="
        assert (server.models_asked_by, server.asked[0].headers["authorization"]) == ([expected], expected)
        assert "what" not in str(refused.value)


@pytest.mark.parametrize(
    ("status", "words", "refused"),
    [
        (400, b"Invalid model name passed in", True),
        (422, b"max_tokens takes 16 and more", False),
        (401, b"no key for this model", False),
        (503, b"loading the model", False),
    ],
)
def test_only_a_refusal_of_the_model_is_one(status: int, words: bytes, *, refused: bool) -> None:
    answer = Answer(status=status, content=words)
    with TruthServer(lambda _: answer, models=("m",)) as server:
        spec = make_spec(server.url, closed(1), model="n")
        with pytest.raises(UsageError, match="refuses the model n") if refused else contextlib.nullcontext():
            refuse_unknown_model(spec, None)
        assert len(server.asked) == 1
        refuse_unknown_model(make_spec(server.url, closed(1), model="m"), None)
        assert len(server.asked) == 1, "nothing is asked where the model is listed"


def test_a_folder_in_which_nothing_was_completed_is_used_again_and_no_other(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with TruthServer(refuse) as server:
        arguments = [
            "load", "--model", "m", "--single-stream", "--requests", "2", "--warmup", "0", "--out", str(out),
        ]  # fmt: skip
        failed = CliRunner().invoke(app, [*arguments, "--url", f"{server.url}/v2"])
        assert failed.exit_code == 1
        said = " ".join(failed.stderr.split())
        assert "2 requests: http_error (HTTP 404): " in said
        assert f"(asked: {server.url}/v2/v1/completions)" in said
        for mine in ("mine.txt", "prompts.jsonl"):
            (out / mine).touch()
            done = CliRunner().invoke(app, [*arguments, "--url", server.url])
            assert "is not empty" in str(done.exception)
            (out / mine).unlink()
        assert CliRunner().invoke(app, [*arguments, "--url", server.url]).exit_code == 0
        done = CliRunner().invoke(app, [*arguments, "--url", server.url])
        assert "is not empty" in str(done.exception)


def test_a_load_that_reached_nobody_can_be_repeated_into_the_same_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://user:secret@127.0.0.1:{unused.getsockname()[1]}"
        done = starwatt(*LOAD, "--url", url, "--requests", 1, "--out", out)
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert "secret" not in done.stderr
    assert not out.exists()
    out.mkdir()
    with TruthServer() as server:
        done = starwatt(*LOAD, "--url", server.url, "--requests", 1, "--out", out)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("meter", [(), ("--meter", "local", "--warmup", 0)], ids=["alone", "metered"])
def test_ctrl_c_leaves_figures_that_can_be_analysed(tmp_path: Path, meter: tuple[str, ...]) -> None:
    reached, out = threading.Event(), tmp_path / "out"

    def behave(asked: Asked) -> Answer:
        if asked.number == 20:
            reached.set()
        return Answer(gap_s=0.01)

    with TruthServer(behave) as server:
        process = start(*LOAD, "--url", server.url, "--duration", 600, "--out", out, "--json", *meter)
        assert reached.wait(PATIENCE_S)
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, said
    assert b"Traceback" not in said
    summary = json.loads((out / "summary.json").read_text())
    assert json.loads(printed) == summary
    assert summary["interrupted"]
    rows = read_trace(out, "requests").to_pylist()
    completed = [row for row in rows if row["status"] == "ok"]
    assert summary["metrics"]["completed_requests"] == len(completed) >= 20
    if meter:
        [cell] = RunDir(out).finished_cells()
        folder = RunDir(out).cell(cell)
        power = read_trace(folder, "power")["t_ns"].to_pylist()
        assert min(power) < min(row["end_ns"] for row in completed), (
            "recorded before, and until it was interrupted"
        )
        assert max(power) > completed[10]["end_ns"]
        assert not [*folder.glob("*.arrows"), *folder.glob(".*")], "the sidecar has finished its files"
        assert not [
            left
            for left in psutil.process_iter(["cmdline"])
            if str(out) in " ".join(left.info["cmdline"] or ())
        ]
        assert CliRunner().invoke(app, ["analyze", str(out)]).exit_code in (0, 3)


@pytest.mark.long
def test_a_closed_load_on_a_server_that_refuses_everything_gives_up_with_the_reason(tmp_path: Path) -> None:
    answer = Answer(status=503, content=b"loading the model")
    with TruthServer(lambda _: answer) as server:
        done = starwatt(
            "load", "--url", server.url, "--model", "m", "--single-stream", "--requests", 500, "--timeout", 5,
            "--out", tmp_path / "out", "--json",
        )  # fmt: skip
    assert done.returncode == 1
    summary = json.loads(done.stdout)
    assert "20 requests in a row failed" in summary["gave_up"]
    assert "loading the model" in summary["gave_up"]
    assert len(server.asked) == 20
    assert summary["metrics"]["measured_requests"] == summary["metrics"]["failed_requests"] == 500


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--duration", "inf"), "--duration: takes a finite number"),
        (("--requests", 1, "--warmup", "inf"), "--warmup: takes a finite number"),
        (("--requests", 1, "--timeout", 0), "--timeout: takes a number above 0"),
        (("--duration", 1e9), "--duration: takes a number up to"),
    ],
)
def test_a_time_that_is_none_is_refused(tmp_path: Path, flags: tuple[object, ...], message: str) -> None:
    arguments = [*LOAD, "--url", "http://127.0.0.1:9", "--out", str(tmp_path / "out"), *map(str, flags)]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)


@pytest.mark.parametrize("key", ["sk-1\r\nX-More: 2", "sk-\x00", "sk-1\n"])
def test_a_key_that_no_header_can_carry_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    if "\x00" in key:
        monkeypatch.setattr("study.measure.secrets.os.environ", {"STARWATT_API_KEY": key})
    else:
        monkeypatch.setenv("STARWATT_API_KEY", key)
    arguments = [*LOAD, "--url", "http://127.0.0.1:9", "--requests", "1", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, UsageError)
    assert "STARWATT_API_KEY holds a newline" in str(result.exception)
    assert "sk-" not in str(result.exception)
    assert not (tmp_path / "out").exists()


def whole(**times: Any) -> dict[str, Any]:
    """A completed request of three chunks."""
    return {
        "request_id": 0, "task_id": "t", "role": "measured", "status": "ok", "scheduled_ns": 0, "sent_ns": 0,
        "output_tokens": 3, "chunk_tokens": [1, 1, 1], "finish_reason": "stop", "end_ns": 100 * MS, **times,
    }  # fmt: skip


@pytest.mark.parametrize(("apart_ns", "streamed"), [(0, False), (2_000, False), (5 * MS, True)])
def test_answers_that_come_all_at_once_have_no_time_between_tokens(apart_ns: int, streamed: bool) -> None:
    first_ns = 80 * MS
    row = whole(first_token_ns=first_ns, chunk_ns=[first_ns + n * apart_ns for n in range(3)])
    requests = read_columns(pa.Table.from_pylist([row], schema=REQUESTS))
    metrics = summarise(requests, {"tpot": 1000.0})
    assert metrics["not_streamed"] == (0 if streamed else 1)
    assert (metrics["tpot_ms"]["p50"] is not None) == streamed
    assert (metrics["itl_ms"]["p50"] is not None) == streamed
    assert (metrics["goodput"] is not None) == streamed
    assert metrics["ttft_ms"]["p50"] == pytest.approx(80)
    summary: dict[str, Any] = {
        "metrics": metrics,
        "first_errors": [],
        "gave_up": None,
        "audit": {"resent": 0},
    }
    assert any("nothing was streamed" in said for said in remarks(summary)) != streamed


def test_the_rate_of_a_short_open_load_is_not_more_than_was_offered() -> None:
    # Requests every 10 ms that take 9 ms: two fill 20 ms.
    two, asked = table({}, {}), Open(kind="open", qps=100)
    assert summarise(two, open_load=asked)["request_rate"] == pytest.approx(100)
    assert summarise(table({}), open_load=asked)["request_rate"] == pytest.approx(100)
    slow = table({}, {"e2e_ms": 990})
    assert summarise(slow, open_load=asked)["request_rate"] == pytest.approx(2)


def test_the_time_that_is_left_of_a_load_is_what_was_asked_for_or_its_own_pace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 0.0
    monkeypatch.setattr("study.load.time_left.time.monotonic", lambda: now_s)
    amount = {"kind": "duration", "seconds": 60}
    asked = TimeLeft(make_spec("http://h", closed(2), amount=amount, warmup_s=5))
    paced = TimeLeft(make_spec("http://h", closed(2), amount={"kind": "requests", "requests": 40}))
    offered = TimeLeft(make_spec("http://h", constant(4), amount={"kind": "requests", "requests": 40}))
    begun = {"phase": "window", "ended": 0, "planned": 40}
    now_s = 100.0
    assert (asked.after(begun), paced.after(begun), offered.after(begun)) == (65, None, 10)
    now_s = 104.0
    half = {"phase": "window", "ended": 10, "planned": 40}
    assert (asked.after(half), paced.after(half), offered.after(half)) == (61, 12, 6)


def test_a_meters_password_is_never_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STARWATT_METER_TOKEN", raising=False)
    arguments = [*LOAD, "--url", "http://127.0.0.1:9", "--requests", "1", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, [*arguments, "--meter", "http://me:s3cret@127.0.0.1:9"])
    assert isinstance(result.exception, UsageError)
    assert "--meter http://127.0.0.1:9: set STARWATT_METER_TOKEN" in str(result.exception)
