"""What each command does and prints; ``study/cli/app.py`` only reads the command line.

The analysis is imported where it begins: pandas and scipy take longer than everything else that a command starts with.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.loader import load_variant
from configs.meters import ExternalLog, Meters
from configs.schema import EngineSettings
from loadgen.spec import LoadSpec
from server.build.foresight import known_model, source_of
from server.engines.engine import check_place
from server.engines.engine_spec import EngineSpec
from server.engines.refusal import refuse_what_cannot_be_served
from server.power.calibration.calibrate import calibrate
from server.power.calibration.calibrate import words as calibration_words
from server.power.calibration.heater import heated
from server.power.service.app import MeterService
from server.power.service.listen import TOKEN_VARIABLE, Listening, address, check_host, token_of_the_service
from server.power.service.listen import serve as listen
from server.power.sidecar import Sidecar
from starwatt_errors import StarwattError, UsageError
from study.cli.folders import make_folder
from study.exit_codes import INTERRUPTED, INVALID
from study.load.slo import parse_slo
from study.measure.checkpoints import build_all
from study.measure.engine_session import started
from study.measure.secrets import api_key
from study.progress.display import Display, console, tell
from study.records.existing import existing
from study.records.repeat import WantedStudy
from study.run import forecast_study, run_study
from traces.layout import RunDir, model_slug

if TYPE_CHECKING:
    from analysis.tables import AnalysisSummary

_POLL_S = 0.2


def build(variants: tuple[str, ...], model: str, *, as_json: bool) -> None:
    """Build and print where each checkpoint lies."""
    with _said_of("--model", "models"):
        checkpoints = build_all((model,), variants)
    if as_json:
        _print_json(
            [
                {"model": name, "variant": variant, "path": str(checkpoint.path), "digest": checkpoint.digest}
                for (name, variant), checkpoint in checkpoints.items()
            ]
        )
        return
    for (_, variant), checkpoint in checkpoints.items():
        print(f"{variant}\t{checkpoint.path}")  # noqa: T201


@contextmanager
def _said_of(flag: str, field: str) -> Iterator[None]:
    """What is wrong with a field of studies is wrong with the flag that stands for it."""
    try:
        yield
    except UsageError as error:
        if not str(error).startswith(f"{field}: "):
            raise
        raise UsageError(f"{flag}: {str(error).removeprefix(f'{field}: ')}") from error


def serve(
    variant: str,
    model: str,
    host: str,
    port: int,
    max_model_len: int,
    max_num_seqs: int,
    tensor_parallel: int,
    *,
    enforce_eager: bool,
) -> None:
    """Serve until interrupted, or until the engine dies."""
    check_host(host)
    check_place(host, port)
    chosen = load_variant(variant)
    settings = EngineSettings(
        max_model_len=max_model_len,
        max_num_seqs=max_num_seqs,
        enforce_eager=enforce_eager,
        tensor_parallel=tensor_parallel,
    )
    with _said_of("--model", "models"):
        known = known_model(source_of(model, chosen), trust_remote_code=chosen.trust_remote_code)
        refuse_what_cannot_be_served((chosen,), settings, known.shape)
        checkpoint = build_all((model,), (variant,))[model, variant]
    spec = EngineSpec(
        model=model_slug(model),
        variant=chosen,
        checkpoint=checkpoint,
        settings=settings,
        port=port,
        host=host,
        api_key=api_key(),
    )
    log = Path("runs") / "serve" / f"{spec.model}-{variant}-{port}.log"
    with Display("serving", 1) as display:
        display.title(f"{model} · {variant}")
        engine = started(spec, log.resolve(), display.note)
    with engine:
        key = ' -H "Authorization: Bearer $STARWATT_API_KEY"' if spec.api_key else ""
        body = json.dumps({"model": spec.model, "prompt": "def fibonacci(n):", "max_tokens": 32})
        print(f"{engine.url}/v1  (model {spec.model}, log {log}; Ctrl-C stops it)")  # noqa: T201
        print(  # noqa: T201
            f"curl {engine.url}/v1/completions{key} -H 'Content-Type: application/json' -d {shlex.quote(body)}",
            flush=True,
        )
        while True:
            engine.check_alive("while it was serving")
            time.sleep(_POLL_S)


def meter(out: Path, pid: int | None, hz: float) -> None:
    """Sample until interrupted."""
    for name, what in (("power.parquet", "already"), ("power.arrows", "that goes on or was cut off")):
        if (out / name).exists():
            raise UsageError(f"--out {out} holds a recording ({name}) {what}: take a new folder")
    sidecar = Sidecar.start(out, Meters(sample_hz=hz), engine_pid=pid)
    try:
        for words in sidecar.left_out:
            tell(f"left out: {words}")
        for device in sidecar.devices:
            print(f"{device['name']}\t{device['boundary']}\t{device['source']}\t{device['note']}", flush=True)  # noqa: T201
        while True:
            sidecar.check_alive()
            time.sleep(_POLL_S)
    finally:
        sidecar.stop()


def serve_meter(listening: Listening, pid: int | None, hz: float) -> None:
    """Offer the sidecar over HTTP until interrupted. A token that was drawn here goes to stderr alone."""
    context = listening.tls()
    token, drawn = token_of_the_service()
    with listening.bind() as bound:
        tell("looking at the meters")
        service = MeterService(Meters(sample_hz=hz), token, engine_pid=pid)
        if drawn:
            print(f"{TOKEN_VARIABLE}={token}", file=sys.stderr, flush=True)  # noqa: T201 -- rich would wrap it
        listen(service, bound, context, lambda: print(address(listening, bound), flush=True))  # noqa: T201
    raise KeyboardInterrupt


def calibrate_sensors(*, as_json: bool, load: bool) -> None:
    """Watch the sensors for some seconds, each board driven by a load or as it is, and print what was found."""
    with Display("calibrating", 1) as display:
        display.title("sensors")
        found = calibrate(load=heated if load else None)
    if as_json:
        _print_json(found)
        return
    for line in calibration_words(found):
        print(line)  # noqa: T201


def calibrate_against(log: Path, *, as_json: bool, load: bool) -> None:
    """Find the visible GPU's gain beside a trusted meter's log, and print it as a study takes it."""
    from server.power.calibration.watch_both import gain_against

    if not log.is_file():
        raise UsageError(f"--against {log}: there is no such file")
    with Display("calibrating", 1) as display:
        display.title("gain")
        found = gain_against(ExternalLog(file=log), heated if load else None, say=display.say)
    if as_json:
        _print_json(found.record())
        return
    for line in found.words():
        print(line)  # noqa: T201


def load(spec: LoadSpec, out: Path, meter_at: str | None, slo: str | None, *, as_json: bool) -> int:
    """Drive the load and print its figures; returns the exit code."""
    from study.load.load_test import load_test
    from study.load.remarks import remarks
    from study.load.summary import energy_words, summary_table

    slo_ms = None if slo is None else parse_slo(slo)
    if meter_at is not None and meter_at != "local" and not meter_at.startswith(("http://", "https://")):
        raise UsageError(f"--meter {meter_at}: takes local, or the URL of a `starwatt meter --serve`")
    test = load_test(spec, out, meter_at=meter_at, slo_ms=slo_ms)
    if as_json:
        _print_json(test.summary)
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
        _tell_invalid(analysis)
    if test.interrupted:
        return INTERRUPTED
    if test.summary["gave_up"] or not test.summary["metrics"]["completed_requests"]:
        return StarwattError.exit_code
    return INVALID if invalid else 0


def run(wanted: WantedStudy, *, retry_failed: bool, metrics_port: int | None, as_json: bool) -> int:
    """Run or resume a study; returns the exit code: 1 where cells failed and are missing, 3 where one is invalid."""
    result = run_study(
        wanted.file,
        wanted.out,
        retry_failed=retry_failed,
        metrics_port=metrics_port,
        repeated=wanted.repeated,
    )
    _tell(result.run, result.summary, as_json=as_json)
    if not as_json:
        print(f"report: {result.report}")  # noqa: T201
    for key, attempt in result.given_up.items():
        tell(f"failed, and missing: {key}: {attempt.error}")
    if result.given_up:
        tell(f"{result.run.attempts} has every failure; once mended: the same command with --retry-failed")
        return StarwattError.exit_code
    return INVALID if result.summary.invalid else 0


def dry_run(wanted: WantedStudy, *, as_json: bool) -> None:
    """Say what a study is going to take."""
    found = forecast_study(wanted.file, wanted.out)
    if as_json:
        _print_json(found.record())
        return
    for line in found.lines():
        print(line)  # noqa: T201


def analyze_run(run_directory: Path, *, as_json: bool) -> bool:
    """Make the tables and print what they say; returns whether every cell is valid."""
    from analysis.tables import analyze

    run_dir = existing(run_directory)
    with Display("analyzing", 1) as display:
        display.title(str(run_directory))
        summary = analyze(run_dir, lambda done, total: display.say(f"{done}/{total} cells"))
    _tell(run_dir, summary, as_json=as_json)
    return not summary.invalid


def report(run_directory: Path, out: Path | None, figures: Path | None, tables: Path | None) -> None:
    """Write the report, and what else is asked for, and print where it is."""
    from analysis.report import write_report
    from analysis.report.elsewhere import analysed
    from analysis.report.export import export_figures, export_tables
    from analysis.results.left_out import left_out

    named = existing(run_directory)
    if out is not None and out.is_dir():
        raise UsageError(f"--out {out}: takes a file, such as {out / named.report.name}")
    for flag, folder in (("--figures", figures), ("--tables", tables)):
        if folder is not None:
            make_folder(flag, folder)
    with nullcontext(named) if out is None else analysed(named) as run:
        written = [write_report(run, out)]
        written += export_figures(run, figures) if figures is not None else []
        written += export_tables(run, tables) if tables is not None else []
        for words in left_out(run):
            tell(words)
    for path in written:
        print(path)  # noqa: T201


def verify_run(run_directory: Path, *, as_json: bool) -> bool:
    """Recompute the run from its raw files and print what does not hold; returns whether all does."""
    from analysis.verify.run import verify

    run_dir = existing(run_directory)
    with Display("verifying", 1) as display:
        display.title(str(run_directory))
        found = verify(run_dir, lambda done, total: display.say(f"{done}/{total} cells"))
    if as_json:
        findings = [vars(finding) for finding in found.findings]
        _print_json({"ok": found.ok, "cells": found.cells, "requests": found.requests, "findings": findings})
        return found.ok
    for finding in found.findings:
        tell(f"{finding.kind}: {finding.where}: {finding.what}")
    if found.ok:
        counted = f"{found.cells} cells, {found.requests} measured requests"
        tell(f"{counted}: all figures follow from the traces, and none is invalid")
    return found.ok


def _tell(run_dir: RunDir, summary: AnalysisSummary, *, as_json: bool) -> None:
    """The answer in words, and what is invalid."""
    from analysis.results.headline import headline

    lines = headline(run_dir)
    if as_json:
        _print_json(
            {
                "cells": summary.cells,
                "measured": summary.measured,
                "invalid": [
                    {"cell": str(cell.key), "reasons": list(cell.reasons), "problem": cell.problem}
                    for cell in summary.invalid
                ],
                "headline": [vars(line) for line in lines],
                "report": str(run_dir.report),
            }
        )
        return
    for line in lines:
        tell(line.text)
    _tell_invalid(summary)


def _tell_invalid(summary: AnalysisSummary) -> None:
    for cell in summary.invalid:
        tell(f"invalid: {cell.key}: {', '.join(cell.reasons)} {cell.problem or ''}")
    for warning in summary.warnings:
        tell(warning)


def _print_json(data: Any) -> None:
    print(json.dumps(data, indent=2))  # noqa: T201
