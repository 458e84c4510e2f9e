"""``starwatt load``: drives the load, and prints its figures."""

from __future__ import annotations

from pathlib import Path

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


def run_load_test(spec: LoadSpec, out: Path, meter_at: str | None, slo: str | None, *, as_json: bool) -> int:
    """Drive the load and print its figures; returns the exit code."""
    slo_ms = None if slo is None else parse_slo(slo)
    if meter_at is not None and meter_at != "local" and not meter_at.startswith(("http://", "https://")):
        raise UsageError(f"--meter {meter_at}: takes local, or the URL of a `starwatt meter --serve`")
    test = load_test(spec, out, meter_at=meter_at, slo_ms=slo_ms)
    if as_json:
        print_json(test.summary)
    else:
        console.print(summary_table(test.summary))
    for remark in remarks(test.summary):
        tell(remark)
    invalid = bool(test.summary["invalid"])
    if test.run is not None:
        from analysis.report import write_report
        from analysis.tables import analyze

        analysis = analyze(test.run)
        invalid = invalid or bool(analysis.invalid)
        for words in energy_words(test.run):
            tell(words)
        tell(f"report: {write_report(test.run)}")
        tell_invalid(analysis)
    if test.interrupted:
        return INTERRUPTED
    if test.summary["gave_up"] or not test.summary["metrics"]["completed_requests"]:
        return StarwattError.exit_code
    return INVALID if invalid else 0
