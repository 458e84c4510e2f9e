"""What the tools really wrote, beside our own trace of the same requests and what the board really used."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from analysis.cells.cell import CellResult, analyse_cell
from analysis.cells.context import read_context
from analysis.tables import analyze, read_table
from study.imported.calendar import Stated
from study.imported.run import ImportOrder, import_run
from tests.study.imported.captured_files import AIPERF, ALL, GUIDELLM, VLLM, CapturedFiles, order
from traces.cell import read_cell
from traces.streams import read_trace

TOOLS = pytest.mark.parametrize("captured", ALL, ids=lambda captured: captured.name)


def analysed(wanted: ImportOrder) -> CellResult:
    """The only cell of an import."""
    run, [cell] = import_run(wanted)
    return analyse_cell(run, cell.key, read_context(run)[0])


def joules(result: CellResult) -> tuple[float, float]:
    """J/request, and the half-width of its 95 % interval."""
    energy, measured = result.primary, result.measured
    assert energy is not None
    assert measured is not None
    assert energy.energy_j is not None
    assert energy.error_j is not None
    return energy.energy_j / measured.share.requests, 1.96 * energy.error_j / measured.share.requests


@TOOLS
def test_joules_by_a_tools_file_are_those_by_our_own_trace_and_the_boards(
    tmp_path: Path, captured: CapturedFiles
) -> None:
    theirs, theirs_half = joules(analysed(order(captured, tmp_path / "theirs")))
    noted = order(
        captured, tmp_path / "ours", files=(captured.noted,), model="golden", load="closed-4",
        stated=Stated(zone="UTC"),
    )  # fmt: skip
    ours, ours_half = joules(analysed(noted))
    true = captured.truth["true_j"] / 32
    assert abs(theirs - ours) <= min(theirs_half, ours_half)
    assert abs(theirs - true) <= theirs_half
    assert theirs_half < 0.02 * theirs


@TOOLS
@pytest.mark.parametrize("offset_s", [-0.2, 0.2])
def test_an_offset_that_is_stated_is_undone(tmp_path: Path, captured: CapturedFiles, offset_s: float) -> None:
    moved = tmp_path / "smi.csv"
    moved.write_text(_later(captured.power.read_text(encoding="ascii"), offset_s), encoding="ascii")
    right = joules(analysed(order(captured, tmp_path / "a")))[0]
    undone = order(captured, tmp_path / "b", power=(str(moved),), clock_offset_s=offset_s)
    assert joules(analysed(undone))[0] == pytest.approx(right, rel=1e-3)


@TOOLS
def test_what_is_not_known_of_the_clocks_is_in_the_interval(tmp_path: Path, captured: CapturedFiles) -> None:
    moved = tmp_path / "smi.csv"
    moved.write_text(_later(captured.power.read_text(encoding="ascii"), 0.3), encoding="ascii")
    result = analysed(order(captured, tmp_path / "a", power=(str(moved),), clock_uncertainty_s=0.3))
    shown_j, half = joules(result)
    assert abs(shown_j - captured.truth["true_j"] / 32) <= half
    energy = result.primary
    assert energy is not None
    assert "clock_uncertain" in energy.reasons


@TOOLS
def test_tokens_times_and_load_are_those_of_our_own_trace(tmp_path: Path, captured: CapturedFiles) -> None:
    run, [cell] = import_run(order(captured, tmp_path / "run"))
    assert (cell.key.model, cell.key.load, cell.imported.version) == ("golden", "closed-4", captured.version)
    noted = [line.split(",") for line in captured.noted.read_text(encoding="ascii").splitlines()[1:]]
    rows = read_trace(run.cell(cell.key), "requests").to_pylist()
    assert len(rows) == len(noted) == 32
    for column, name in enumerate(("sent_ns", "first_token_ns", "end_ns")):
        theirs = sorted(row[name] * 1e-9 for row in rows)
        assert theirs == pytest.approx(sorted(float(line[column]) for line in noted), abs=0.25)
    for column, name in ((3, "prompt_tokens"), (4, "output_tokens")):
        assert sorted(row[name] for row in rows) == sorted(int(line[column]) for line in noted)
    assert {row["scheduled_ns"] for row in rows} == {row["finish_reason"] for row in rows} == {None}


def test_chunks_come_as_the_tool_says_and_are_missing_where_it_does_not(tmp_path: Path) -> None:
    chunks = {}
    for captured in ALL:
        run, [cell] = import_run(order(captured, tmp_path / captured.name))
        chunks[captured.name] = {
            len(chunks) for chunks in read_trace(run.cell(cell.key), "requests")["chunk_ns"].to_pylist()
        }
        assert ("chunks_unknown" in cell.imported.unknown) == (captured is GUIDELLM)
    assert chunks == {VLLM.name: {48}, AIPERF.name: {48}, GUIDELLM.name: {0}}


def test_what_nobody_said_is_null_with_its_reason_and_never_zero(tmp_path: Path) -> None:
    run, _ = import_run(order(GUIDELLM, tmp_path / "run"))
    analyze(run)
    rows = {(row["metric"], row["boundary"]): row for row in read_table(run, "cells").to_pylist()}
    wanted = {
        ("dispatch_lag_mean_ms", None): ["lag_unknown"],
        ("itl_mean_ms", None): ["chunks_unknown"],
        ("finish_length_share", None): ["not_available"],
        ("pass_at_1_plus", None): ["no_tests"],
        ("client_cpu_share", None): ["not_available"],
        ("j_per_request_net", "gpu"): ["no_idle"],
        ("power_idle_w", "gpu"): ["no_idle"],
    }
    for key, reasons in wanted.items():
        assert (rows[key]["value"], rows[key]["reasons"]) == (None, reasons), key
    for code in ("imported", "lag_unknown", "chunks_unknown", "engine_unseen"):
        assert rows[f"check:{code}", None]["reasons"] == [code]
    assert rows["j_per_request", "gpu"]["valid"]


def test_idle_that_is_stated_gives_net(tmp_path: Path) -> None:
    result = analysed(order(GUIDELLM, tmp_path / "run", idle_s=(2.5, 0.5)))
    energy = result.primary
    assert energy is not None
    assert energy.idle_before_w == pytest.approx(60.0, abs=12)  # the world's idle power is 50 or 70 W


def test_a_wall_meters_log_gives_the_hosts_joules_and_no_gain(tmp_path: Path) -> None:
    wall = tmp_path / "wall.csv"
    wall.write_text(_as_a_wall_meters(GUIDELLM.power.read_text(encoding="ascii")), encoding="ascii")
    result = analysed(order(GUIDELLM, tmp_path / "run", power=(f"{wall},averages_s=0.025",)))
    shown_j, half = joules(result)
    energy = result.primary
    assert energy is not None
    assert (energy.boundary, energy.source, energy.gain_half_width) == ("host", "external", None)
    assert abs(shown_j - GUIDELLM.truth["true_j"] / 32) <= half


def test_the_same_files_give_the_same_traces(tmp_path: Path) -> None:
    records = []
    for name in ("one", "two"):
        run, [cell] = import_run(order(GUIDELLM, tmp_path / name))
        records.append(read_cell(run.cell(cell.key)))
    assert records[0].files == records[1].files
    assert records[0].files.keys() == {"requests.parquet", "power.parquet"}


def _as_a_wall_meters(log: str) -> str:
    """The same readings as seconds since 1970 and watts."""
    lines = ["time,power_w"]
    for line in log.splitlines()[1:]:
        at, _, watts = line.split(", ")
        moment = datetime.strptime(at, "%Y/%m/%d %H:%M:%S.%f").replace(tzinfo=UTC)
        lines.append(f"{moment.timestamp():.3f},{watts.removesuffix(' W')}")
    return "\n".join(lines) + "\n"


def _later(log: str, seconds: float) -> str:
    """The same log by a clock that is so far ahead."""
    header, *lines = log.splitlines()
    noted = [header]
    for line in lines:
        at, rest = line.split(", ", 1)
        moved = datetime.strptime(at, "%Y/%m/%d %H:%M:%S.%f").replace(tzinfo=UTC) + timedelta(seconds=seconds)
        noted.append(f"{moved.strftime('%Y/%m/%d %H:%M:%S.%f')[:-3]}, {rest}")
    return "\n".join(noted) + "\n"
