"""Imported cells as a run: blocks that are added, what is counted once, and what the other commands say of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from analysis.tables import analyze
from starwatt_errors import RunError, UsageError
from study.cli.app import app
from study.imported.calendar import Stated
from study.imported.run import ImportOrder, import_run
from tests.study.imported.captured_files import AIPERF, ALL, GUIDELLM, VLLM, order
from tests.support.busy import PATIENCE_S
from traces.layout import RunDir
from traces.streams import read_trace


def import_by_command(out: Path, *flags: object) -> tuple[int, str]:
    """Exit code, and what it prints."""
    words = [
        str(GUIDELLM.requests),
        "--power",
        f"{GUIDELLM.power},zone=UTC",
        "--out",
        str(out),
        *map(str, flags),
    ]
    done = CliRunner().invoke(app, ["import", *words])
    return done.exit_code, str(done.exception) if done.exception and done.exit_code == 1 else done.stdout


def test_an_imported_run_is_read_by_analyze_report_compare_and_verify(tmp_path: Path) -> None:
    once, two = tmp_path / "one", tmp_path / "two"
    code, said = import_by_command(once, "--clock-uncertainty", "10ms", "--idle", 2.5, 0.5, "--json")
    assert code == 0
    told = json.loads(said)
    assert told["cells"][0]["tool"] == "GuideLLM"
    import_run(order(AIPERF, two))
    runner = CliRunner()
    for command in (["analyze", str(two)], ["report", str(two)], ["verify", str(once)]):
        assert runner.invoke(app, command).exit_code == 0, command
    page = tmp_path / "c.html"
    assert runner.invoke(app, ["compare", str(once), str(two), "--out", str(page)]).exit_code == 0
    report = (once / "report.html").read_text(encoding="utf-8")
    for words in (
        "GuideLLM 0.8.1 (guidellm.json)",
        "Another program measured this",
        "lag_unknown",
        "engine_unseen",
    ):
        assert words in report


def test_verify_says_what_it_cannot_check_and_finds_what_was_changed(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert import_by_command(out, "--clock-uncertainty", "10ms")[0] == 0
    runner = CliRunner()
    told = json.loads(runner.invoke(app, ["verify", str(out), "--json"]).stdout)
    assert (told["ok"], told["findings"]) == (True, [])
    [of_the_cell, of_all] = told["remarks"]
    assert "guidellm.json (sha256 " in of_the_cell
    assert "not checked: that the files named above hold what happened" in of_all
    run = RunDir(out)
    [key] = run.finished_cells()
    shutil.copyfile(AIPERF.power, run.cell(key) / "power.parquet")
    verified = json.loads(runner.invoke(app, ["verify", str(out), "--json"]).stdout)
    assert "trace_damaged" in {finding["kind"] for finding in verified["findings"]}


def test_calls_add_blocks_and_loads_to_one_run_and_a_file_counts_once(tmp_path: Path) -> None:
    out = tmp_path / "run"
    for captured in ALL:
        run, _ = import_run(order(captured, out))
    assert [(key.load, key.block) for key in run.finished_cells()] == [
        ("closed-4", 1),
        ("closed-4", 2),
        ("closed-4", 3),
    ]
    with pytest.raises(UsageError, match=r"was imported already .*closed-4 · b2"):
        import_run(order(GUIDELLM, out))
    copied = tmp_path / "copy.json"
    shutil.copyfile(VLLM.requests, copied)
    with pytest.raises(UsageError, match="was imported already"):
        import_run(order(GUIDELLM, tmp_path / "new", files=(GUIDELLM.requests, GUIDELLM.requests)))
    assert not (tmp_path / "new").exists()


def test_a_name_block_and_variant_that_are_given_are_the_cells(tmp_path: Path) -> None:
    run, [cell] = import_run(
        order(GUIDELLM, tmp_path / "run", model="org/m", variant="int4", load="mine", block=7)
    )
    assert str(cell.key) == "org--m · int4 · mine · b7"
    assert list(run.finished_cells()) == [cell.key]
    with pytest.raises(UsageError, match="--block 7: the run has int4 · mine · b7 already"):
        import_run(order(AIPERF, tmp_path / "run", model="org/m", variant="int4", load="mine", block=7))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"files": (GUIDELLM.noted,)}, "does not say model: give --model"),
        ({"files": (GUIDELLM.noted,), "model": "m"}, "does not say load: give --load"),
        ({"load": "a/b"}, "--load a/b: takes letters"),
        ({"load": "probe-x"}, "--load probe-x"),
        ({"idle_s": (1.0, 3.0)}, "--idle 1 3: takes from and to"),
        ({"clock_offset_s": 7200.0}, "they do not meet.*--clock-offset"),
    ],
    ids=str,
)
def test_what_is_missing_or_does_not_meet_is_refused_and_nothing_is_written(
    tmp_path: Path, changed: dict[str, object], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        import_run(order(GUIDELLM, tmp_path / "run", **changed))
    assert not (tmp_path / "run").exists()


def test_a_load_of_months_is_refused_for_a_time_that_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("start,end\n1,2\n1795685400,1795685401\n")
    with pytest.raises(UsageError, match=r"from 1970-01-01T00:00:01Z to .* more than a week"):
        import_run(ImportOrder((tmp_path / "r.csv",), tmp_path / "run", model="m", load="closed-1"))


def test_halves_of_characters_in_answers_of_others_become_the_sign_for_them(tmp_path: Path) -> None:
    data = json.loads(VLLM.requests.read_text(encoding="utf-8"))
    data["generated_texts"][:2] = ["\ud83d\ude00 \ud800", "whole"]
    (tmp_path / "bench.json").write_text(json.dumps(data))
    _, [cell] = import_run(order(VLLM, tmp_path / "run", files=(tmp_path / "bench.json",)))
    assert {"\U0001f600 \ufffd", "whole"} <= set(cell.requests["completion"].to_pylist())


def test_two_loads_of_one_file_are_two_cells_that_share_a_log(tmp_path: Path) -> None:
    report = json.loads(GUIDELLM.requests.read_text(encoding="utf-8"))
    [first] = report["benchmarks"]
    del first["metrics"]
    second = json.loads(json.dumps(first))
    kept = sorted(first["requests"]["successful"], key=lambda request: request["request_start_time"])
    first["requests"]["successful"], second["requests"]["successful"] = kept[:16], kept[16:]
    report["benchmarks"].append(second)
    both = tmp_path / "both.json"
    both.write_text(json.dumps(report), encoding="utf-8")
    run, cells = import_run(order(GUIDELLM, tmp_path / "run", files=(both,)))
    assert [cell.key.block for cell in cells] == [1, 2]
    invalid = {reason for cell in analyze(run).invalid for reason in cell.reasons}
    assert invalid <= {
        "aliased"
    }  # in so short a window a closed load's steps may keep in step with the sensor
    with pytest.raises(UsageError, match="--at is of one load, and 2 are imported"):
        import_run(order(GUIDELLM, tmp_path / "new", files=(both,), stated=Stated(at_s=1.0)))


def test_what_starwatt_measured_is_not_mixed_with_what_others_did(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"schema_version": 1, "run_id": "a"}', encoding="utf-8")
    with pytest.raises(UsageError, match="is no imported run"):
        import_run(order(GUIDELLM, tmp_path))
    (tmp_path / "manifest.json").unlink()
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    with pytest.raises(UsageError, match="takes a new folder, or an imported run"):
        import_run(order(GUIDELLM, tmp_path))


def test_without_power_the_joules_are_missing_with_their_reason(tmp_path: Path) -> None:
    import_run(order(GUIDELLM, tmp_path / "bare", power=()))
    done = CliRunner().invoke(app, ["analyze", str(tmp_path / "bare"), "--json"])
    assert done.exit_code == 3
    assert json.loads(done.stdout)["invalid"][0]["reasons"] == ["no_power"]


def test_times_of_an_imported_cell_are_of_the_calendar_and_of_no_boot(tmp_path: Path) -> None:
    run, [cell] = import_run(order(GUIDELLM, tmp_path / "run"))
    table = read_trace(run.cell(cell.key), "requests")
    metadata = table.schema.metadata or {}
    assert metadata[b"boot_id"] == b"imported"
    assert metadata[b"monotonic_ns"] == metadata[b"realtime_ns"]
    assert table["sent_ns"][0].as_py() * 1e-9 == pytest.approx(GUIDELLM.truth["start_s"], abs=0.25)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--clock-offset", "soon"), "--clock-offset soon: takes a time such as"),
        (("--clock-uncertainty", "-1s"), "takes no time below 0"),
        (("--clock-offset", "9" * 30 + "h"), "a century"),
        (("--idle", "inf", "1"), "--idle inf 1: takes from and to"),
        (("--zone", "Moon/Base"), "is no time zone"),
        (("--at", "yesterday"), "--at yesterday: is no time"),
        (("--at", "1000", "--same-boot"), "give one"),
    ],
)
def test_flags_are_refused_in_words(tmp_path: Path, flags: tuple[str, ...], words: str) -> None:
    code, said = import_by_command(tmp_path / "run", *flags)
    assert code == 1
    assert words in said


def test_a_run_that_another_process_imports_into_is_left_alone_until_that_has_ended(tmp_path: Path) -> None:
    out = tmp_path / "run"
    holds = f"""
import sys, time
from pathlib import Path
from study.records.lock import held
from traces.layout import RunDir
with held(RunDir(Path({str(out)!r})), "imported into"):
    print("held", flush=True)
    sys.stdin.readline()
"""
    with subprocess.Popen(
        [sys.executable, "-c", holds], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RunError, match=f"is being imported into by process {other.pid} on "):
            import_run(order(AIPERF, out))
        assert other.stdin is not None
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.wait(timeout=PATIENCE_S) == 0
    assert not out.exists()  # nothing was written into it
    run, _ = import_run(order(AIPERF, out))
    again, _ = import_run(order(GUIDELLM, out))
    assert len(list(again.finished_cells())) == 2
    assert run.lock.is_file()


def test_an_import_that_is_refused_leaves_no_new_folder(tmp_path: Path) -> None:
    (tmp_path / "nothing.json").write_text("{}")
    out = tmp_path / "run"
    with pytest.raises(UsageError):
        import_run(replace(order(AIPERF, out), files=(tmp_path / "nothing.json",)))
    assert not out.exists()
    out.write_text("a file")
    with pytest.raises(UsageError, match="cannot be made"):
        import_run(order(AIPERF, out))
