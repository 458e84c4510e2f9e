"""How a study that is invalid in part ends: with what is valid, and how the rest is measured again."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.cells.tabulate import InvalidCell
from analysis.tables import AnalysisSummary
from study.cli.results import tell_how_to_measure_again
from traces.layout import CellKey, RunDir


def told_of(
    run: RunDir, capsys: pytest.CaptureFixture[str], *codes: str, measured: int = 99, first: int = 1
) -> str:
    """What is told where a cell a code is invalid, and so many of them were measured."""
    cells = [
        InvalidCell(CellKey("m", "bf16", "closed-8", first + place), (code,), None)
        for place, code in enumerate(codes)
    ]
    for cell in cells[:measured]:
        folder = run.cell(cell.key)
        folder.mkdir(parents=True)
        (folder / "cell.json").touch()
    tell_how_to_measure_again(run, AnalysisSummary(45, 45, tuple(cells), 7, 0, ()))
    return " ".join(capsys.readouterr().err.split())


def test_a_study_says_how_many_cells_are_valid_and_how_the_others_are_measured_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = RunDir(Path("runs/demo"))
    assert told_of(run, capsys) == ""
    assert told_of(run, capsys, "not_steady") == (
        "44 of 45 cells are valid (exit code 3: measured, and invalid in part); to measure the other again: "
        "rm -r runs/demo/cells/m/bf16/closed-8/b1, then the same command"
    )
    several = told_of(run, capsys, "no_power", "no_power", first=2)
    assert (
        "others again: rm -r runs/demo/cells/m/bf16/closed-8/b2 runs/demo/cells/m/bf16/closed-8/b3,"
        in several
    )
    many = told_of(run, capsys, *["no_power"] * 9, first=4)
    assert (
        "others again: remove the folders of those that are named above, below runs/demo/cells, then" in many
    )


@pytest.mark.parametrize(("code", "measured"), [("not_graded", 1), ("not_measured", 0)])
def test_what_another_measurement_does_not_mend_is_not_to_be_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], code: str, measured: int
) -> None:
    said = told_of(RunDir(tmp_path), capsys, code, measured=measured)
    assert "44 of 45 cells are valid" in said
    assert "rm -r" not in said
