"""The page of an imported run: one load is told as a load test, several are set against each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from analysis.report import write_report
from study.cli.app import app
from study.imported.run import import_run
from tests.study.imported.captured_files import AIPERF, GUIDELLM, order
from traces.layout import RunDir


def csv_of(folder: Path, *, step_s: float, name: str = "req.csv") -> Path:
    """40 requests, four in flight, half a second each."""
    lines = ["start,first_token,end,prompt_tokens,output_tokens"]
    for k in range(40):
        at_s = 1_795_000_000 + (k // 4) * step_s
        lines.append(f"{at_s:.3f},{at_s + 0.05:.3f},{at_s + 0.5:.3f},120,60")
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    return path


def imported(*words: object) -> str:
    """Import by command, and return what it prints."""
    done = CliRunner().invoke(app, ["import", *map(str, words)])
    assert done.exit_code in (0, 3), done.stderr
    return done.stderr + done.stdout


def page_of(folder: Path) -> str:
    """Read the report that an import wrote."""
    return (folder / "report.html").read_text(encoding="utf-8")


def test_the_page_of_one_imported_load_is_a_load_tests_and_says_who_measured_it(tmp_path: Path) -> None:
    imported(
        csv_of(tmp_path, step_s=0.6), "--model", "org/m", "--load", "closed-4", "--out", tmp_path / "run"
    )
    page = page_of(tmp_path / "run")
    for words in (
        "40 of 40 requests completed",
        "4 requests in flight",
        "a CSV file (req.csv)",
        "<dd>org/m</dd>",
    ):
        assert words in page
    assert "nothing to set against each other" not in page
    assert "from when a request was sent" in page
    assert "from the time a request was scheduled" not in page


@pytest.mark.parametrize("captured", [GUIDELLM, AIPERF], ids=lambda captured: captured.name)
def test_joules_of_an_imported_load_are_on_its_page(captured: object, tmp_path: Path) -> None:
    run, _ = import_run(order(captured, tmp_path / "run"))  # type: ignore[arg-type]
    page = write_report(run).read_text(encoding="utf-8")
    assert "J/request, " in page
    assert "What another program measured" in page


def test_blocks_of_imported_loads_are_told_as_others_measured_them(tmp_path: Path) -> None:
    for step_s in (0.6, 0.7):
        words = ("--model", "org/m", "--load", "closed-4", "--out", tmp_path / "two")
        imported(csv_of(tmp_path, step_s=step_s), *words)
    page = page_of(tmp_path / "two")
    assert "batched and one request at a time" not in page
    assert "As others measured it" in page
    assert "a CSV file (req.csv)" in page


def test_no_figure_at_one_glance_names_the_reasons_against_joules_alone(tmp_path: Path) -> None:
    for step_s in (0.6, 0.7):
        imported(
            csv_of(tmp_path, step_s=step_s), "--model", "m", "--load", "closed-4", "--out", tmp_path / "run"
        )
    page = page_of(tmp_path / "run")
    assert 'no figure <span class="between">no_power</span>' in page


def test_a_name_that_is_no_loads_usual_one_is_said_to_be_a_load_of_its_own(tmp_path: Path) -> None:
    said = imported(
        csv_of(tmp_path, step_s=0.6), "--model", "m", "--load", "closed4", "--out", tmp_path / "run"
    )
    assert "--load closed4: not one of the usual names" in said
    assert "40 requests from a CSV file; times are the file's own calendar times" in said
    said = imported(
        csv_of(tmp_path, step_s=0.7), "--model", "m", "--load", "closed-4", "--out", tmp_path / "run"
    )
    assert "usual names" not in said
    assert RunDir(tmp_path / "run").plan.is_file()


def test_joules_that_are_not_valid_are_crossed_out_on_the_page_and_marked_in_the_terminal(
    tmp_path: Path,
) -> None:
    power = f"{GUIDELLM.power},zone=UTC"  # clocks known to ten seconds are not good enough for joules
    said = imported(
        GUIDELLM.requests, "--power", power, "--clock-uncertainty", "10s", "--out", tmp_path / "run"
    )
    assert "W (not to be believed: clock_uncertain" in said
    assert re.search(r"<s>[^<]* J/request, [^<]*</s>: not to be believed", page_of(tmp_path / "run"))
