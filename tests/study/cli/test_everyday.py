"""What is typed every day: version, completion, quiet, runs, init, a preset by name, joules of a command, a sweep."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from analysis.cells.tabulate import InvalidCell
from analysis.tables import AnalysisSummary, analyze
from configs.loader import STUDIES, load_study, named_variant
from starwatt_errors import UsageError
from study.cli.app import app
from study.cli.commands.everywhere import version
from study.cli.results import tell_invalid
from study.measure.checkpoints import warn_of_downloads
from study.records.lock import locked
from tests.golden.world import LOADS, World
from tests.study.records.test_lock import study
from tests.support.busy import PATIENCE_S, says
from tests.support.command import COMMAND, starwatt
from tests.support.server import Answer, TruthServer
from traces.layout import CellKey, RunDir
from traces.streams import read_trace

ENDPOINT = ("--model", "m", "--requests", 4)


def said(*arguments: object) -> str:
    """What a command prints, within this process."""
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def test_the_version_is_that_of_the_project() -> None:
    text = (Path(__file__).resolve().parents[3] / "pyproject.toml").read_text(encoding="utf-8")
    assert said("--version") == f"starwatt {version()}\n"
    assert f'version = "{version()}"' in text


def test_h_is_help_before_and_after_a_command() -> None:
    assert said("-h") == said("--help")
    assert said("analyze", "-h") == said("analyze", "--help")


def test_the_shell_completes_commands() -> None:
    done = subprocess.run(
        COMMAND, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        env={**os.environ, "_STARWATT_COMPLETE": "complete_bash", "COMP_WORDS": "starwatt re", "COMP_CWORD": "1"},
    )  # fmt: skip
    assert "--install-completion" in said("-h")
    assert done.stdout.split() == ["report"], done.stderr


def test_quiet_is_the_answer_without_the_progress(tmp_path: Path) -> None:
    World(tmp_path / "run", variants=("bf16",), loads=LOADS[:2], blocks=1).build()
    loud, quiet = (starwatt("analyze", tmp_path / "run", *flags) for flags in ((), ("--quiet",)))
    assert (loud.returncode, quiet.returncode) == (0, 0)
    assert "analyzing 1/1" in loud.stderr
    assert quiet.stderr == loud.stderr.partition("\n")[2] != ""


def test_a_study_ends_with_an_answer_to_each_question_that_it_asked(tmp_path: Path) -> None:
    World(tmp_path / "run", variants=("bf16", "int8-bnb"), loads=LOADS[:2]).build()
    lines = starwatt("analyze", tmp_path / "run", "--quiet").stderr.splitlines()
    asked = [line.partition("?")[0] for line in lines]
    assert asked == [
        "What does batching save",
        "What does each variant cost, and what does it keep",
        "What is best",
    ]
    assert "int8-bnb:" in lines[1]


def test_runs_says_state_answer_and_size(tmp_path: Path) -> None:
    world = World(tmp_path / "whole", variants=("bf16",), loads=LOADS[:2], blocks=1).build()
    analyze(world.run)
    part = World(tmp_path / "part", variants=("bf16",), loads=LOADS[:2], blocks=1)
    part.build()
    (part.run.cell(part.cell_keys()[0]) / "cell.json").unlink()
    (tmp_path / "no-run").mkdir()
    runs = {Path(listed["run"]).name: listed for listed in json.loads(said("runs", tmp_path, "--json"))}
    assert set(runs) == {"whole", "part"}
    assert runs["whole"]["state"] == "finished, 2 of 2 cells"
    assert "single-stream costs" in runs["whole"]["answer"]
    assert (runs["part"]["state"], runs["part"]["answer"]) == ("unfinished, 1 of 2 cells", None)
    files = [path for path in world.root.rglob("*") if path.is_file()]
    assert runs["whole"]["bytes"] >= sum(path.stat().st_size for path in files) * 0.5
    table = said("runs", tmp_path)
    assert re.search(r"whole +finished, 2 of 2 cells +\d+ kB +bf16: single-stream costs", table)


def test_runs_says_which_one_is_being_measured(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    with locked(run, study(), Path("s.yaml")):
        World(run.root, variants=("bf16",), loads=LOADS[:1], blocks=1).build()
        [listed] = json.loads(said("runs", tmp_path, "--json"))
    assert (listed["running"], listed["state"]) == (True, "being measured, 1 of 1 cells")
    [listed] = json.loads(said("runs", tmp_path, "--json"))
    assert listed["running"] is False


def test_runs_of_a_folder_that_is_not_there_or_empty_says_how_one_is_made(tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["runs", str(tmp_path / "none")]).exception
    assert isinstance(told, UsageError)
    assert "`starwatt run STUDY.yaml` makes runs" in str(told)
    assert json.loads(said("runs", tmp_path, "--json")) == []


def test_init_writes_a_study_that_is_read_with_a_comment_on_what_it_asks(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    words = said(
        "init", file, "--name", "mine", "--model", "starcoder2-memorised", "--variants", "bf16, nf4-bnb",
        "--concurrency", "4,16", "--dataset", "starwatt-24", "--blocks", "5",
    )  # fmt: skip
    assert f"starwatt run {file} --dry-run" in words
    read = load_study(file)
    assert (read.name, read.baseline, read.variants, read.blocks) == ("mine", "bf16", ("bf16", "nf4-bnb"), 5)
    assert [load.slug for load in read.loads] == ["single-stream", "closed-4", "closed-16"]
    assert file.read_text(encoding="utf-8").count("#") > 8


@pytest.mark.parametrize(
    ("stem", "name"), [("new-study", "new-study"), ("my first", "my-first"), ("…", "my-study")]
)
def test_init_calls_a_study_as_its_file_and_says_what_to_do_with_it(
    tmp_path: Path, stem: str, name: str
) -> None:
    file = tmp_path / f"{stem}.yaml"
    words = said("init", file, "--model", "starcoder2-memorised")
    assert load_study(file).name == name
    assert [line.partition(":")[0] for line in words.splitlines()] == [
        "written",
        "what it takes",
        "measure it",
    ]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--variants", "nope"), "variants.0: there is no variant 'nope'"),
        (("--concurrency", "x"), "loads.1.concurrency: takes a whole number"),
        (("--name", "a b"), "name: takes letters"),
        (("--name", "a: {b"), "name: takes letters"),
        (("--dataset", "mbpp"), "prompts.dataset: takes one of"),
    ],
)
def test_init_refuses_an_answer_as_the_file_would_be_and_leaves_nothing(
    tmp_path: Path, flags: tuple[str, ...], message: str
) -> None:
    told = CliRunner().invoke(app, ["init", str(tmp_path / "s.yaml"), *flags]).exception
    assert isinstance(told, UsageError)
    assert re.match(rf"{re.escape(str(tmp_path))}/s.yaml:\d+: {message}", str(told)), told
    assert list(tmp_path.iterdir()) == []


def test_init_writes_over_no_file(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("mine")
    told = CliRunner().invoke(app, ["init", str(tmp_path / "s.yaml")]).exception
    assert "is there already" in str(told)
    assert (tmp_path / "s.yaml").read_text() == "mine"


def test_init_asks_on_a_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [*COMMAND, "init", str(tmp_path / "s.yaml"), "--model", "starcoder2-memorised"]
    process = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    os.write(ours, b"asked\nbf16\n4\nstarwatt-24\n\n")
    output, _ = process.communicate(timeout=PATIENCE_S)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0, output
    read = load_study(tmp_path / "s.yaml")
    assert (read.name, read.models, read.blocks) == ("asked", ("starcoder2-memorised",), 3)


def test_a_preset_runs_by_its_name_and_others_are_named(tmp_path: Path) -> None:
    out = ("--out", tmp_path / "run", "--dry-run", "--json")
    named, preset = (
        json.loads(said("run", study_named, *out)) for study_named in ("demo", STUDIES / "demo.yaml")
    )
    assert (named["cells"], named["plan"][:3]) == (preset["cells"], preset["plan"][:3])
    told = str(CliRunner().invoke(app, ["run", "demoo"]).exception)
    assert told.startswith("there is no file demoo and no preset of this name; presets: batching, demo, ")
    assert told.endswith("; did you mean demo?")


def test_a_variant_is_a_name_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\ndescription: my own\nquantization: {kind: none}\n")
    assert named_variant(str(tmp_path / "mine.yaml")).name == "mine"
    assert named_variant("bf16").name == "bf16"
    with pytest.raises(UsageError, match="cannot be read"):
        named_variant(str(tmp_path / "none.yaml"))


def test_a_large_download_is_told_before_it_begins(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from server.build.foresight import Known
    from study.measure import checkpoints

    sizes: dict[str, int | None] = {"large": 30_000_000_000, "small": 1_000_000, "unknown": None, "here": 0}
    monkeypatch.setattr(
        checkpoints, "known_model", lambda model: Known(model, None, fetch_bytes=sizes[model])
    )
    warn_of_downloads({(model, name): named_variant(name) for model in sizes for name in ("bf16", "nf4-bnb")})
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert told[0].startswith("about to download large from the hub, 30.0 GB; ")
    assert told[1].startswith("about to download unknown from the hub, of a size that is not known; ")


def metered(*arguments: object) -> subprocess.CompletedProcess[str]:
    """``starwatt meter --estimate``, whatever meters there are."""
    return starwatt("meter", "--estimate", *arguments)


def test_a_command_keeps_its_output_and_its_exit_code_and_its_joules_are_told(tmp_path: Path) -> None:
    code = "import sys; print('own words'); sum(range(20_000_000)); sys.exit(7)"
    done = metered("--out", tmp_path / "trace", "--", sys.executable, "-c", code)
    assert (done.returncode, done.stdout) == (7, "own words\n"), done.stderr
    assert re.search(r"^[\d.e+-]+ J .*by (modelled|rapl|nvml)", done.stderr, flags=re.MULTILINE), done.stderr
    assert re.search(r"^in [\d.]+ s$", done.stderr, flags=re.MULTILINE)
    assert read_trace(tmp_path / "trace", "power").num_rows > 1
    again = metered("--out", tmp_path / "trace", "--", "true")
    assert again.returncode == 2
    assert "holds a recording already" in again.stderr


def test_a_command_that_a_signal_ends_is_128_and_its_number_and_a_script_reads_json() -> None:
    done = metered("--json", "--hz", 1, "--", "sh", "-c", "kill -9 $$")  # 20 readings would take 20 s
    assert done.returncode == 137
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["exit_code"] == 137
    assert told["valid"] is False
    assert says(told["boundaries"][0]["reasons"], "window_too_short")
    assert {"name", "boundary", "source", "joules", "lo", "hi", "gain", "reasons", "valid"} == set(
        told["devices"][0]
    )


def test_ctrl_c_ends_the_command_and_its_joules_until_then_are_told(tmp_path: Path) -> None:
    code = f"import time, pathlib; pathlib.Path({str(tmp_path / 'up')!r}).touch(); time.sleep(60)"
    process = subprocess.Popen(
        [*COMMAND, "meter", "--estimate", "--", sys.executable, "-c", code],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    while not (tmp_path / "up").exists():
        assert process.poll() is None
        time.sleep(0.02)  # its file tells, and nothing wakes its readers
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert re.search(r"^in [\d.]+ s$", told, flags=re.MULTILINE), told


def test_a_program_that_is_not_there_is_a_wrong_command_line() -> None:
    done = metered("--", "no-such-program-of-ours")
    assert (done.returncode, "there is no such program" in done.stderr) == (2, True)


def test_a_sweep_measures_each_rate_in_a_folder_of_its_own(tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    with TruthServer(lambda _: Answer()) as server:
        done = starwatt("load", "--url", server.url, *ENDPOINT, "--qps", "20,40", "--out", out, "--json")
    assert done.returncode in (0, 3), done.stderr
    assert [driven["folder"] for driven in json.loads(done.stdout)] == ["open-20-poisson", "open-40-poisson"]
    assert json.loads((out / "sweep.json").read_text()) == json.loads(done.stdout)
    for folder, rate in (("open-20-poisson", 20), ("open-40-poisson", 40)):
        assert json.loads((out / folder / "summary.json").read_text())["load"]["qps"] == rate
        assert read_trace(out / folder, "requests").num_rows >= 4


@pytest.mark.parametrize(
    ("qps", "message"),
    [
        ("1,x", "takes a number (given: 'x')"),
        ("1,0", "--qps: takes a number from 0.001 on"),
        ("2,2.0", "--qps: names a rate twice"),
        ("", "takes a number (given: '')"),
    ],
)
def test_rates_that_make_no_sweep_are_refused_before_any_is_measured(
    tmp_path: Path, qps: str, message: str
) -> None:
    flags = [
        "load",
        "--url",
        "http://127.0.0.1:9",
        *map(str, ENDPOINT),
        "--qps",
        qps,
        "--out",
        str(tmp_path / "out"),
    ]
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, flags)
    assert getattr(done.exception, "exit_code", done.exit_code) == 2
    assert message in f"{done.output} {done.exception}"
    assert not (tmp_path / "out").exists()


def test_a_sweep_in_which_nothing_is_completed_ends_and_says_what_was_not_measured(tmp_path: Path) -> None:
    with TruthServer(lambda _: Answer(status=500)) as server:
        done = starwatt("load", "--url", server.url, *ENDPOINT, "--qps", "20,40", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "not measured: open-40-poisson" in done.stderr


def test_a_doubtful_cell_is_told_in_words_with_its_code_in_brackets(tmp_path: Path) -> None:
    world = World(tmp_path / "run", variants=("bf16",), loads=LOADS[:1], blocks=1).build()
    (world.run.cell(world.cell_keys()[0]) / "power.parquet").unlink()
    done = CliRunner().invoke(app, ["analyze", str(world.root)])
    assert done.exit_code == 3
    assert "not to be believed: starcoder2-memorised · bf16 · single-stream · b1: " in done.output
    assert "There are no power readings (no_power)" in done.output
    done = CliRunner().invoke(app, ["verify", str(world.root)])
    assert "There are no power readings (no_power) (invalid_cell)" in done.output


def test_blocks_of_which_the_same_is_to_be_said_are_told_in_one_line(tmp_path: Path) -> None:
    world = World(tmp_path / "run", variants=("bf16",), loads=LOADS[:1], blocks=6).build()
    keys = world.cell_keys()
    for key in keys:
        if key.block in (1, 2, 3, 6):
            (world.run.cell(key) / "power.parquet").unlink()
        if key.block == 4:
            (world.run.cell(key) / "requests.parquet").write_bytes(b"")
    done = CliRunner(env={"COLUMNS": "400"}).invoke(app, ["analyze", str(world.root)])
    told = [line for line in done.output.splitlines() if "not to be believed" in line]
    assert [line.split(": ")[1].split(" · ")[-1] for line in told] == ["b1 to b3, b6", "b4"]


def test_no_more_than_six_stretches_of_blocks_are_named_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    cells = [
        InvalidCell(CellKey("m", "bf16", "closed-8", block), ("no_power",), None) for block in range(1, 14, 2)
    ]
    tell_invalid(AnalysisSummary(7, 7, tuple(cells), 7, 0, ()))
    assert "· b1, b3, b5, b7, b9, b11 and 1 more: There are no power readings" in capsys.readouterr().err


def test_blocks_are_added_to_a_plan_that_keeps_its_order(tmp_path: Path) -> None:
    said(
        "init",
        tmp_path / "s.yaml",
        "--model",
        "starcoder2-memorised",
        "--dataset",
        "starwatt-24",
        "--blocks",
        "2",
    )
    study_of = yaml.safe_load((tmp_path / "s.yaml").read_text(encoding="utf-8"))
    assert study_of["blocks"] == 2
    planned = json.loads(said("run", tmp_path / "s.yaml", "--blocks", "4", "--dry-run", "--json"))
    assert planned["cells"] == 4 * 2 * 3
