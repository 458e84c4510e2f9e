"""Files that are odd, places that cannot be written, streams that take nothing: each is a sentence and an exit code."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from configs.datasets import load_dataset
from configs.files.text_files import read_text
from configs.loader import load_study
from server.build.store import store_root
from starwatt_errors import StarwattError, UsageError
from study.cli.app import app
from study.exit_codes import interrupted_words
from study.plan.arrivals import keep_arrivals
from study.plan.lengths import read_table
from study.progress.streams import in_words
from study.records.repeat import WantedStudy
from study.run import forecast_study
from tests.golden.world import LOADS, World
from tests.support.busy import PATIENCE_S
from tests.support.command import COMMAND, starwatt
from tests.support.studies import STUDY, write_study
from traces.layout import RunDir

STUDY_HERE = STUDY.replace("[bf16, int8-bnb]", "[bf16]")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never analysed."""
    root = tmp_path_factory.mktemp("world") / "run"
    World(root, variants=("bf16",), loads=LOADS[:1], blocks=1).build()
    return root


ODD = (
    "/",
    "/dev/null",
    "/dev/zero",
    "/proc/none",
    "/etc/passwd",
    "/etc/passwd/below",
    "x" * 300,
    "no\nline",
    "\udcff",
)
COMMANDS: dict[str, tuple[str, ...]] = {
    "run": ("run", "ODD"),
    "run --from": ("run", "--from", "ODD"),
    "run --from a folder": ("run", "--from", "ODD/study.yaml"),
    "run --dry-run": ("run", "ODD", "--dry-run"),
    "grade a run": ("grade", "ODD"),
    "grade by own prompts": ("grade", "--samples", "/nowhere", "--dataset", "ODD.jsonl"),
    "analyze": ("analyze", "ODD"),
    "report": ("report", "ODD"),
    "compare": ("compare", "ODD", "WORLD"),
    "verify": ("verify", "ODD"),
    "load a trace": ("load", "--url", "http://127.0.0.1:9", "--model", "m", "--out", "OUT", "--trace", "ODD"),
    "load own prompts": (
        "load", "--url", "http://127.0.0.1:9", "--model", "m", "--out", "OUT", "--requests", "1", "--single-stream",
        "--dataset", "ODD.jsonl",
    ),
    "build": ("build", "bf16", "--model", "./ODD"),
}  # fmt: skip


@pytest.mark.timeout(120)
@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_a_file_that_is_none_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: Path, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    for odd in ODD:
        given = [
            word.replace("ODD", odd).replace("WORLD", str(world)).replace("OUT", "out") for word in arguments
        ]
        refused = CliRunner().invoke(app, given).exception
        assert isinstance(refused, StarwattError | OSError | SystemExit), (odd, refused)
        assert not isinstance(refused, SystemExit) or refused.code, odd
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("odd", ["/etc/passwd", "/etc/passwd/below", "/proc/none"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "WORLD", "--figures", "ODD"),
        ("report", "WORLD", "--tables", "ODD"),
        ("report", "WORLD", "--out", "ODD/page.html"),
        ("compare", "WORLD", "--paper", "--out", "ODD/page.html"),
        ("meter", "--out", "ODD"),
        ("run", "STUDY", "--out", "ODD/run"),
    ],
    ids=" ".join,
)
def test_a_place_that_cannot_be_written_is_a_sentence(
    tmp_path: Path, world: Path, arguments: tuple[str, ...], odd: str
) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(STUDY_HERE)
    places = {"ODD": odd, "WORLD": str(world), "STUDY": str(study)}
    given = list(arguments)
    for name, place in places.items():
        given = [word.replace(name, place) for word in given]
    refused = CliRunner().invoke(app, given).exception
    assert isinstance(refused, StarwattError | OSError), refused
    said = in_words(refused) if isinstance(refused, OSError) else str(refused)
    assert odd in said or isinstance(refused, StarwattError)


def test_a_run_that_may_only_be_read_is_reported_elsewhere(tmp_path: Path, world: Path) -> None:
    before = sorted(path.relative_to(world) for path in world.rglob("*"))
    page = tmp_path / "pages" / "report.html"
    done = CliRunner().invoke(
        app, ["report", str(world), "--out", str(page), "--tables", str(tmp_path / "tables")]
    )
    assert done.exception is None, done.exception
    assert "</html>" in page.read_text(encoding="utf-8")
    assert (tmp_path / "tables" / "cells.csv").is_file()
    assert sorted(path.relative_to(world) for path in world.rglob("*")) == before
    refused = CliRunner().invoke(app, ["report", str(world), "--out", str(tmp_path)]).exception
    assert f"--out {tmp_path}: takes a file" in str(refused)


def test_a_data_set_beside_a_run_is_refused(world: Path) -> None:
    refused = CliRunner().invoke(app, ["grade", str(world), "--dataset", "humaneval+"]).exception
    assert "--dataset goes with --samples" in str(refused)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"task_id,tokens\n\xff,3\n", "t.csv:2: is not UTF-8 text"),
        (b"task_id,tokens\n" + b"x" * 200_000 + b",3\n", "is no line of a CSV file"),
        (b"task_id,tokens\na,3\na,4\n", "t.csv:3: task_id takes each task once"),
        (b"# note\ntask_id,tokens\n# note\na," + b"9" * 5000, "t.csv:4: tokens takes a whole number"),
        ("task_id,tokens\na,²\n".encode(), "t.csv:2: tokens takes a whole number"),
        (b"task_id,tokens\na\n", "t.csv:2: tokens takes a whole number from 1 to 1048576 (given: nothing)"),
        (b"task_id,tokens\na,-3\n", "(given: '-3')"),
        (b"id,len\na,1\n", "columns task_id and tokens"),
        (b"", "columns task_id and tokens"),
    ],
)
def test_an_odd_table_of_lengths_is_refused_with_its_line(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_table(tmp_path / "t.csv", "m")
    assert words in str(caught.value)


def test_a_table_of_lengths_with_a_byte_order_mark_is_taken(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbftask_id,tokens\r\na,3\r\n")
    assert read_table(tmp_path / "t.csv", "m") == {"a": 3}


def test_arrivals_with_a_byte_order_mark_are_kept_and_resumed(tmp_path: Path) -> None:
    (tmp_path / "day.csv").write_bytes(b"\xef\xbb\xbf0\r\n1\r\n")
    study = load_study(write_study(tmp_path, ("qps: 6", "trace: day.csv")))
    run = RunDir(tmp_path / "run")
    keep_arrivals(run, study)
    keep_arrivals(run, study)
    assert read_text(run.root / "arrivals" / "open-trace-day" / "day.csv").split() == ["0", "1"]


NAMED = {
    "more tasks than there are": ("tasks: 99", ":13: prompts.tasks: takes at most 24, or all: starwatt-24 has no more"),
    "two models of one name": ("MODELS [./a/m, ./b/m]", ":2: models.1: "),
    "a model that has no name": ("MODELS [/]", ":2: models.0: takes the folder of a checkpoint, not /"),
    "a GPU that is not here": ("meters: {gpus: [GPU-none]}", "meters.gpus.0: takes the UUID of a GPU that is here"),
    "a gain of no device": ("meters: {gain: {GPU-none: {factor: 1.1}}}", "meters.gain.GPU-none: takes the name of"),
    "lengths without a task": ("output: {recorded: l.csv}", "prompts.output.recorded: "),
}  # fmt: skip


@pytest.mark.parametrize(("added", "words"), NAMED.values(), ids=NAMED)
def test_what_a_study_names_and_is_not_there_is_refused_before_it_starts(
    tmp_path: Path, added: str, words: str
) -> None:
    (tmp_path / "l.csv").write_text("task_id,tokens\nother,3\n")
    within = f"\n  {added}" if added.startswith(("tasks", "output")) else f"\n{added}"
    path = tmp_path / "study.yaml"
    path.write_text(
        STUDY_HERE.replace("[starcoder2-memorised]", added.removeprefix("MODELS"))
        if added.startswith("MODELS")
        else STUDY_HERE.replace("  max_tokens: 64", f"  max_tokens: 64{within}")
    )
    with pytest.raises(UsageError) as caught:
        forecast_study(WantedStudy(path, tmp_path / "run"))
    assert str(caught.value).startswith(f"{path}:")
    assert words in str(caught.value)


ROW = {
    "task_id": "HumanEval/0", "prompt": "def f(x):\n", "entry_point": "f", "canonical_solution": "    return x\n",
    "base_input": [[1]], "plus_input": [], "atol": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (json.dumps(ROW | {"atol": "abc"}), ":1: atol: takes a number"),
        (json.dumps(ROW | {"task_id": 7}), ":1: task_id: takes text"),
        (json.dumps(ROW | {"prompt": 5}), ":1: prompt: takes text"),
        (json.dumps(ROW | {"base_input": None}), ":1: base_input: takes a list"),
        (json.dumps({"task_id": "HumanEval/0"}), ":1: prompt: is required"),
        ("[" * 50_000, "levels deep"),
        ("[]", ":1: takes a JSON object"),
        ("<html>", ":1: is not valid JSON"),
        ("", "there is no task in it"),
    ],
)
def test_an_odd_humaneval_plus_is_refused_with_its_line_and_doctor_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, words: str
) -> None:
    path = tmp_path / "HumanEvalPlus.jsonl.gz"
    path.write_bytes(gzip.compress(line.encode()))
    monkeypatch.setenv("HUMANEVAL_OVERRIDE_PATH", str(path))
    with pytest.raises(UsageError) as caught:
        load_dataset("humaneval+")
    assert words in str(caught.value)
    assert "set HUMANEVAL_OVERRIDE_PATH to" in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"hello", gzip.compress(b"x" * 100_000)[:50], b""], ids=["text", "torn", "empty"]
)
def test_a_humaneval_plus_that_is_no_whole_gzip_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    path = tmp_path / "HumanEvalPlus.jsonl.gz"
    path.write_bytes(content)
    monkeypatch.setenv("HUMANEVAL_OVERRIDE_PATH", str(path))
    with pytest.raises(UsageError, match="cannot read the dataset"):
        load_dataset("humaneval+")


def test_the_home_folder_is_known_by_its_sign(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("STARWATT_STORE", "~/store")
    assert store_root() == tmp_path / "store"
    monkeypatch.setenv("STARWATT_STORE", "~nobody-of-that-name/store")
    with pytest.raises(UsageError, match="no such user"):
        store_root()


def _piped(arguments: list[str], **streams: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **{name: str(value) for name, value in streams.items() if name.isupper()}}
    files = {name: value for name, value in streams.items() if name.islower()}
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [*COMMAND, *arguments], env=environment, text=True, timeout=PATIENCE_S, check=False,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **files},
    )  # fmt: skip


@pytest.mark.parametrize("arguments", [["--help"], ["build", "--list", "--json"], ["build", "--help"]])
def test_standard_output_that_takes_nothing_is_a_sentence_and_exit_code_1(arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123 -- a device
        done = _piped(arguments, stdout=full)
    assert done.returncode == 1
    assert "standard output cannot be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_standard_error_that_takes_nothing_leaves_the_exit_code() -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123 -- a device
        assert _piped(["analyze", "no-such-run"], stderr=full).returncode == 2


def test_a_reader_that_has_gone_is_no_error_in_words() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = _piped(["--help"], stdout=writing)
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode == 1


def test_streams_that_were_closed_before_are_no_error(world: Path) -> None:
    closing = ["sh", "-c", 'exec "$@" <&- >&-', "sh", *COMMAND, "runs", str(world.parent)]
    done = subprocess.run(closing, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_without_the_character_prints_its_escape(tmp_path: Path, world: Path) -> None:
    page = tmp_path / "Läufe·" / "page.html"
    done = _piped(["report", str(world), "--out", str(page)], PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "L\\xe4ufe\\xb7" in done.stdout


def test_a_file_where_a_folder_is_to_be_made_is_refused_with_its_path(tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(STUDY_HERE)
    file = tmp_path / "file"
    file.touch()
    done = starwatt("run", study, "--out", file / "run", "--json")
    assert done.returncode == 2
    assert str(file) in json.loads(done.stdout)["error"]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("manifest", ["[]", "3", '{"dataset": 3}', "[" * 50_000, "7" * 5000, "\x00"])
def test_a_manifest_that_is_none_is_a_sentence(tmp_path: Path, world: Path, manifest: str) -> None:
    shutil.copytree(world, tmp_path / "run")
    (tmp_path / "run" / "manifest.json").write_text(manifest)
    for command in (
        ["grade", str(tmp_path / "run")],
        ["run", "--from", str(tmp_path / "run" / "study.yaml"), "--dry-run"],
    ):
        refused = CliRunner().invoke(app, command).exception
        assert refused is None or isinstance(refused, StarwattError), (command, refused)
        assert command[0] == "run" or "manifest.json" in str(refused)


@pytest.mark.parametrize(
    "arguments", [("meter", "--out", "OUT", "--hz", "nan"), ("serve", "bf16", "--max-num-seqs", "1" * 30)]
)
def test_a_number_of_the_command_line_that_is_none_is_wrong_usage(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = starwatt(*(word.replace("OUT", str(tmp_path / "out")) for word in arguments))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["serve", "build", "meter", "run", "load", "grade", "doctor"])
def test_only_what_measures_says_that_it_keeps_what_was_measured(command: str) -> None:
    assert ("what was measured" in interrupted_words(command)) == (command in ("run", "load"))
