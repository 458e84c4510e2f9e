"""``starwatt load``: drives the load, and prints its figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadgen.spec import LoadSpec
from starwatt_errors import StarwattError, UsageError
from study.cli.answers import print_json
from study.cli.results import tell_invalid
from study.exit_codes import INTERRUPTED, INVALID
from study.load.load_test import load_test
from study.load.remarks import remarks
from study.load.slo import parse_slo
from study.load.summary import energy_words, summary_table
from study.progress.display import console, tell
from study.records.left_boards import put_back_what_was_left
from traces.layout import RunDir


@dataclass(frozen=True)
class Driven:
    """A load test that was told: what its ``summary.json`` holds, and its exit code."""

    summary: dict[str, Any]
    code: int
    j_per_request: float | None = None
    """Gross, of the first meter that it has; None without one."""


def run_load_test(spec: LoadSpec, out: Path, meter_at: str | None, slo: str | None, *, as_json: bool) -> int:
    """Drive the load and print its figures; returns the exit code."""
    driven = drive(spec, out, meter_at, slo, shown=not as_json)
    if as_json:
        print_json(driven.summary)
    return driven.code


def drive(spec: LoadSpec, out: Path, meter_at: str | None, slo: str | None, *, shown: bool = True) -> Driven:
    """Drive the load, and tell what a person must hear; ``shown``: its figures too."""
    slo_ms = None if slo is None else parse_slo(slo)
    if meter_at is not None and meter_at != "local" and not meter_at.startswith(("http://", "https://")):
        raise UsageError(f"--meter {meter_at}: takes local, or the URL of a `starwatt meter --serve`")
    if meter_at == "local":
        put_back_what_was_left(tell)
    test = load_test(spec, out, meter_at=meter_at, slo_ms=slo_ms)
    if shown:
        console.print(summary_table(test.summary))
    for remark in remarks(test.summary):
        tell(remark)
    invalid, j_per_request = bool(test.summary["invalid"]), None
    if meter_at is not None:
        believed, j_per_request = _told_energy(test.run)
        invalid = invalid or not believed
    if test.interrupted:
        return Driven(test.summary, INTERRUPTED, j_per_request)
    if test.summary["gave_up"] or not test.summary["metrics"]["completed_requests"]:
        return Driven(test.summary, StarwattError.exit_code, j_per_request)
    return Driven(test.summary, INVALID if invalid else 0, j_per_request)


def _told_energy(run: RunDir) -> tuple[bool, float | None]:
    """Analyse a metered load test and tell its joules; whether all is valid, and J/request of the first meter."""
    from analysis.opened import OpenedRun
    from analysis.report import write_report
    from analysis.results.points import read_results
    from analysis.tables import analyze

    analysis = analyze(run)
    for words in energy_words(run):
        tell(words)
    tell(f"report: {write_report(run)}")
    tell_invalid(analysis)
    points = read_results(OpenedRun(run)).points
    return not analysis.invalid, points[0].mean("j_per_request") if points else None
