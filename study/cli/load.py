"""``starwatt load``: drives the load, or looks for the highest rate, and prints the figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.requests.columns import Requests, read_columns
from analysis.results.sentences import significant
from configs.loads import FindRate
from loadgen.spec import LoadSpec
from starwatt_errors import StarwattError, UsageError
from study.cli.answers import print_json
from study.cli.results import tell_invalid
from study.exit_codes import INTERRUPTED, INVALID
from study.load.called import Called
from study.load.folder import take
from study.load.load_test import load_test
from study.load.remarks import remarks
from study.load.summary import energy_words, summary_table
from study.progress.display import console, tell
from study.rate.find import RateSearch, SearchResult
from study.rate.search import Trial
from study.rate.slo import parse_slo
from study.rate.words import as_json as search_as_json
from study.rate.words import in_words
from study.records.left_boards import put_back_what_was_left
from traces.atomic import write_json
from traces.layout import RunDir
from traces.schemas import SCHEMA_VERSION
from traces.streams import read_trace


@dataclass(frozen=True)
class Driven:
    """A load test that was told: what its ``summary.json`` holds, and its exit code."""

    summary: dict[str, Any]
    code: int
    j_per_request: float | None = None
    """Gross, of the first meter that it has; None without one."""


def run_load_test(
    spec: LoadSpec, out: Path, meter_at: str | None, slo: str | None, called: Called, *, as_json: bool
) -> int:
    """Drive the load and print its figures; returns the exit code."""
    driven = drive(spec, out, meter_at, slo, called, shown=not as_json)
    if as_json:
        print_json(driven.summary)
    elif meter_at is None:  # with a meter its report was told
        tell(f"written: {out} (starwatt report {out})")
    return driven.code


def drive(
    spec: LoadSpec, out: Path, meter_at: str | None, slo: str | None, called: Called, *, shown: bool = True
) -> Driven:
    """Drive the load, and tell what a person must hear; ``shown``: its figures too."""
    slo_ms = None if slo is None else parse_slo(slo)
    _refuse_meter(meter_at)
    if meter_at == "local":
        put_back_what_was_left(tell)
    test = load_test(spec, out, meter_at=meter_at, slo_ms=slo_ms, called=called)
    if shown:
        console.print(summary_table(test.summary))
    for remark in remarks(test.summary):
        tell(remark)
    invalid, j_per_request = bool(test.summary["invalid"]), None
    if meter_at is not None:
        believed, j_per_request = _told_energy(test.run)
        invalid = invalid or not believed
    code = INVALID if invalid else 0
    if test.summary["gave_up"] or not test.summary["metrics"]["completed_requests"]:
        code = StarwattError.exit_code
    return Driven(test.summary, INTERRUPTED if test.interrupted else code, j_per_request)


def _refuse_meter(meter_at: str | None) -> None:
    if meter_at is not None and meter_at != "local" and not meter_at.startswith(("http://", "https://")):
        raise UsageError(f"--meter {meter_at}: takes local, or the URL of a `starwatt meter --serve`")


def look_for_rate(
    base: LoadSpec, wanted: FindRate, out: Path, meter_at: str | None, called: Called, *, as_json: bool
) -> int:
    """Look for the highest rate that holds, a load test a window in ``out``, and tell it; returns the exit code.

    The last window of the answer has power beside it, with ``meter_at``.

    Raises:
        UsageError: ``out`` is not empty.
        LoadError: the endpoint cannot be reached, or answers nothing.
    """
    _refuse_meter(meter_at)
    take(out)
    if meter_at == "local":
        put_back_what_was_left(tell)
    runs: dict[Trial | None, RunDir] = {}

    def measure(spec: LoadSpec, trial: Trial | None) -> Requests:
        folder = out / f"w{spec.block:02d}-{spec.load.slug}"
        metered = meter_at if trial is not None and trial.confirms else None
        test = load_test(spec, folder, meter_at=metered, slo_ms=wanted.bounds_ms, called=called)
        if test.interrupted:
            raise KeyboardInterrupt
        runs[trial] = test.run
        return read_columns(read_trace(folder, "requests"))

    result = RateSearch(base, wanted, measure, tell).run()
    believed, joules = True, None
    if meter_at is not None and result.last is not None and result.last.trial.confirms:
        believed, joules = _told_energy(runs[result.last.trial], "j_per_request_in_slo")
    tested = None if result.last is None else runs[result.last.trial].root.name
    said = {
        "schema_version": SCHEMA_VERSION, **search_as_json(result, wanted), "folder": tested,
        "j_per_good_request": joules,
    }  # fmt: skip
    write_json(out / "rate.json", said)
    if as_json:
        print_json(said)
    tell(
        in_words(result, wanted) + ("" if joules is None else f"; {significant(joules)} J/good request there")
    )
    tell(f"written: {out / 'rate.json'}" + ("" if tested is None else f" (starwatt report {out / tested})"))
    return _code_of(result, believed=believed)


def _code_of(result: SearchResult, *, believed: bool) -> int:
    if result.interrupted:
        return INTERRUPTED
    if result.answer.kind == "none":
        return StarwattError.exit_code
    return 0 if result.answer.rate is not None and believed else INVALID


def _told_energy(run: RunDir, metric: str = "j_per_request") -> tuple[bool, float | None]:
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
    return not analysis.invalid, points[0].mean(metric) if points else None
