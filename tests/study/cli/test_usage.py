"""A wrong command line ends with one message and exit code 2, and nothing is started or written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from starwatt_errors import UsageError
from study.cli.app import _exit_code, app
from tests.support.command import starwatt
from tests.support.studies import write_study

LOAD = ("load", "--url", "http://127.0.0.1:9", "--model", "m")
BAD_FLAGS = {
    "no load": (
        ("--requests", 3),
        "say how requests are offered: one of --single-stream, --concurrency N, --qps R, --trace FILE",
    ),
    "two loads": (("--single-stream", "--qps", 3, "--requests", 3), "not --single-stream and --qps together"),
    "a load and its cap, and another": (
        ("--single-stream", "--concurrency", 2, "--qps", 3, "--requests", 3),
        "not --single-stream and --concurrency and --qps together",
    ),
    "no amount": (("--single-stream",), "say how much is measured: one of --duration S, --requests N"),
    "two amounts": (("--single-stream", "--requests", 3, "--duration", 3), "say how much is measured"),
    "a rate of zero": (("--qps", 0, "--requests", 3), "--qps: takes a number from 0.001 on (given: 0.0)"),
    "unknown arrivals": (("--qps", 1, "--arrivals", "bursty", "--requests", 3), "--arrivals: "),
    "unknown dataset": (("--single-stream", "--requests", 3, "--dataset", "mbpp"), "--dataset: takes one of"),
    "a negative duration": (
        ("--single-stream", "--duration", -1),
        "--duration: takes a number above 0",
    ),
    "arrivals without a rate": (
        ("--single-stream", "--arrivals", "poisson", "--requests", 3),
        "--arrivals belongs to --qps",
    ),
    "more requests than a plan holds": (
        ("--single-stream", "--requests", 10**22),
        "--requests: takes a number up to 10000000 (given: 10000000000000000000000)",
    ),
    "no model": (("--single-stream", "--requests", 3, "--model", ""), "--model: takes one line of text"),
    "a model of two lines": (
        ("--single-stream", "--requests", 3, "--model", "a\nb"),
        "--model: takes one line of text",
    ),
    "a bound of no time": (
        ("--single-stream", "--requests", 3, "--slo", "ttft=0ms"),
        "--slo ttft=0ms: ttft takes a time above 0",
    ),
    "a trace that is not there": (("--trace", "none.csv"), "none.csv: cannot be read"),
    "an unknown client": (
        ("--single-stream", "--requests", 3, "--client", "curl"),
        "--client: takes one of auto, wire, httptools, aiohttp (given: 'curl')",
    ),
    "two workers for one stream": (
        ("--single-stream", "--requests", 3, "--workers", 2),
        "--workers: single-stream takes one worker (given: 2)",
    ),
    "more workers than requests in flight": (
        ("--concurrency", 2, "--requests", 3, "--workers", 3),
        "--workers: takes at most 2: so many requests are in flight (given: 3)",
    ),
    "another meter": (("--single-stream", "--requests", 3, "--meter", "wall"), "--meter wall: takes local"),
}


@pytest.mark.parametrize(("flags", "message"), BAD_FLAGS.values(), ids=BAD_FLAGS)
def test_flags_of_load_that_are_missing_or_contradict_each_other_are_named(
    tmp_path: Path, flags: tuple[object, ...], message: str
) -> None:
    result = CliRunner().invoke(app, [*LOAD, "--out", str(tmp_path / "out"), *map(str, flags)])
    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_an_address_that_is_none_is_named(tmp_path: Path) -> None:
    flags = [
        "load",
        "--url",
        "ftp://x",
        "--model",
        "m",
        "--single-stream",
        "--requests",
        "1",
        "--out",
        str(tmp_path),
    ]
    result = CliRunner().invoke(app, flags)
    assert isinstance(result.exception, UsageError)
    assert "--url ftp://x" in str(result.exception)


def test_a_folder_that_holds_something_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "requests.parquet").write_text("precious")
    done = starwatt(*LOAD, "--single-stream", "--requests", 1, "--out", tmp_path)
    assert done.returncode == 2
    assert "is not empty" in re.sub(r"\s+", " ", done.stderr)
    assert (tmp_path / "requests.parquet").read_text() == "precious"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("seed: 20", "sede: 20"), "sede: no such field"),
        (("int8-bnb]", "int7]"), "there is no variant 'int7'"),
    ],
)
def test_a_wrong_study_is_exit_code_2_and_starts_nothing(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    file = write_study(tmp_path, change)
    result = CliRunner().invoke(app, ["run", str(file), "--out", str(tmp_path / "run")])
    assert isinstance(result.exception, UsageError)
    assert result.exception.exit_code == 2
    assert message in str(result.exception)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such-command",),
        ("run",),
        ("build", "no-such-variant"),
        ("serve", "bf16", "--port", "0"),
        ("analyze", "no-such-run"),
        ("report", "no-such-run"),
        ("grade",),
        ("run", "no-such-study.yaml"),
    ],
)
def test_whatever_is_wrong_on_the_command_line_is_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, arguments)
    assert getattr(result.exception, "exit_code", result.exit_code) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "command", [("report",), ("analyze",), ("verify",), ("grade",), ("compare", "--paper")]
)
def test_a_run_that_is_not_there_is_told_with_those_that_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    told = str(CliRunner().invoke(app, [*command, "runs/demo"]).exception)
    assert told == "there is no run directory runs/demo; `starwatt run STUDY.yaml` makes one, under runs/"
    (tmp_path / "runs" / "demo-2").mkdir(parents=True)
    (tmp_path / "runs" / "empty").mkdir()
    (tmp_path / "runs" / "demo-2" / "manifest.json").write_text("{}")
    told = str(CliRunner().invoke(app, [*command, "runs/demo"]).exception)
    assert told == "there is no run directory runs/demo; there are runs/demo-2"
    told = str(CliRunner().invoke(app, [*command, "runs/empty"]).exception)
    assert told.startswith("runs/empty holds no run: neither manifest.json")


def test_a_wrong_file_is_one_message_without_a_traceback(tmp_path: Path) -> None:
    done = starwatt("run", write_study(tmp_path, ("seed: 20", "sede: 20")), "--json")
    assert done.returncode == 2
    assert "sede: no such field" in json.loads(done.stdout)["error"]
    assert "sede: no such field" in re.sub(r"\s+", " ", done.stderr)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        ("--qps", "abc", "takes a number (given: 'abc')"),
        ("--warmup", "-1", "takes a number from 0 on (given: '-1')"),
        ("--requests", "1e3", "takes a whole number (given: '1e3')"),
        ("--concurrency", "", "takes a whole number (given: '')"),
    ],
)
def test_what_a_flag_does_not_take_is_said_in_the_words_of_a_file(flag: str, value: str, words: str) -> None:
    said = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*LOAD, "--out", "/nowhere", flag, value]).output
    assert words in said
    assert flag in said
    assert "Input should" not in said


def test_names_that_are_not_utf8_and_loops_of_links_are_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for arguments, code, words in (
        (
            [*LOAD, "--single-stream", "--requests", "3", "--out", "\udcff"],
            2,
            "takes UTF-8, which '\\udcff' is not",
        ),
        (
            ["meter", "--out", str(tmp_path / "loop" / "below")],
            1,
            "loop/below: Too many levels of symbolic links",
        ),
    ):
        monkeypatch.setattr("sys.argv", ["starwatt", *arguments])
        assert _exit_code() == code
        assert words in re.sub(r"\s+", " ", capsys.readouterr().err)
