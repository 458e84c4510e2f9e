"""``starwatt run``: measures a study and prints its answer, or says what it is going to take."""

from __future__ import annotations

from starwatt_errors import StarwattError
from study.cli.answers import print_answer
from study.cli.results import tell_answer, tell_how_to_measure_again
from study.exit_codes import INVALID
from study.progress.display import tell
from study.records.repeat import WantedStudy
from study.run import forecast_study, run_study


def run(wanted: WantedStudy, *, retry_failed: bool, metrics_port: int | None, as_json: bool) -> int:
    """Run or resume a study; returns the exit code: 1 where cells failed and are missing, 3 where one is invalid."""
    result = run_study(wanted, retry_failed=retry_failed, metrics_port=metrics_port)
    tell_answer(result.run, result.summary, as_json=as_json)
    if not as_json:
        print(f"report: {result.report}")  # noqa: T201
    for key, attempt in result.given_up.items():
        tell(f"failed, and missing: {key}: {attempt.error}")
    if result.given_up:
        tell(f"{result.run.attempts} has every failure; once mended: the same command with --retry-failed")
        return StarwattError.exit_code
    if not as_json:
        tell_how_to_measure_again(result.run, result.summary)
    return INVALID if result.summary.invalid else 0


def dry_run(wanted: WantedStudy, *, as_json: bool) -> None:
    """Say what a study is going to take."""
    forecast = forecast_study(wanted)
    print_answer(forecast.record(), forecast.lines(), as_json=as_json)
