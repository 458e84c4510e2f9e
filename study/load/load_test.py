"""``starwatt load``: load-test an endpoint that already runs, with or without energy."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from configs.addresses import shown_url
from configs.datasets import load_dataset
from configs.loads import Open
from configs.meters import Meters
from loadgen.planning.arrivals import mean_rate
from loadgen.process import run_load
from loadgen.result import LoadResult
from loadgen.spec import LoadSpec
from server.power.calibration.calibrate import calibrate
from server.power.meters import choose_sources
from server.power.nvidia.inventory import gpu_inventory
from server.process.guard import GUARD
from starwatt_errors import MeterError, TraceError, UsageError
from study.load.metering import PHASES, lenient, meter_of
from study.load.remarks import first_errors
from study.load.summary import generator_problems, summarise
from study.load.time_left import TimeLeft
from study.measure.chat_trial import refuse_without_chat
from study.measure.meter import Recorded
from study.measure.metered import metered, record_cell
from study.measure.secrets import api_key
from study.plan.prompts import NO_TESTS, keep_prompts
from study.progress.display import Display, tell
from study.records.manifest import host, package_versions
from study.records.run_id import new_run_id
from traces.atomic import write_json, write_parquet
from traces.cell import Served
from traces.layout import CellKey, RunDir, model_slug
from traces.schemas import PLAN, SCHEMA_VERSION
from traces.streams import read_trace, stamped

VARIANT = "endpoint"


@dataclass(frozen=True)
class LoadTest:
    """What a load test leaves in its folder."""

    summary: dict[str, Any]
    run: RunDir | None
    """The one-cell run, where energy was metered."""
    interrupted: bool


def load_test(
    spec: LoadSpec, out: Path, *, meter_at: str | None, slo_ms: Mapping[str, float] | None = None
) -> LoadTest:
    """Drive ``spec`` and write ``out/requests.parquet`` and ``out/summary.json``; Ctrl-C ends it with these.

    With ``meter_at`` (``local``, or the URL of a `starwatt meter --serve`), power is recorded beside it, and ``out`` is
    a one-cell run. ``slo_ms`` are the bounds of goodput. Where nothing came of it, ``out`` is as it was.

    Raises:
        UsageError: ``out`` is not empty, ``meter_at`` is no meter, no header can carry the key, or a chat is refused.
        LoadError: the endpoint cannot be reached.
        MeterError: no meter answers.
        KeyboardInterrupt: Ctrl-C came before the first request.
    """
    key = api_key()
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"--out {out} is not empty: take a new folder, so that nothing measured is lost")
    if spec.endpoint == "chat":
        refuse_without_chat(spec.url, spec.model, key)
    with _emptied_unless_requests_came(out):
        return _load_test(spec, out, meter_at, slo_ms, key)


@contextlib.contextmanager
def _emptied_unless_requests_came(out: Path) -> Iterator[None]:
    """A load that failed must not block its repetition into the same folder."""
    was_there = out.exists()
    try:
        yield
    except BaseException:
        if not any(_rows(trace) for trace in out.rglob("requests.*")):
            for left in list(out.iterdir()) if was_there else [out]:
                _remove(left)
        raise


def _rows(trace: Path) -> int:
    try:
        return int(read_trace(trace.parent, "requests").num_rows)
    except TraceError:  # cut off before its first row
        return 0


def _remove(left: Path) -> None:
    if left.is_dir():
        shutil.rmtree(left, ignore_errors=True)
    else:
        left.unlink(missing_ok=True)


def _load_test(
    spec: LoadSpec, out: Path, meter_at: str | None, slo_ms: Mapping[str, float] | None, key: str | None
) -> LoadTest:
    run = RunDir(out) if meter_at is not None else None
    keep_prompts(RunDir(out), spec.prompts.dataset)
    recorded: Recorded | None = None
    cell = CellKey(model_slug(spec.model), VARIANT, spec.load.slug, spec.block)
    folder = run.cell(cell) if run else out
    with Display("load", 1) as display:
        display.title(spec.load.slug if display.live else f"{spec.load.slug} on {shown_url(spec.url)}")
        drive = partial(_driven, spec, folder, key, display)
        if meter_at is None:
            outcome = drive()
        else:
            open_meter = lenient(meter_of(spec.url, meter_at))
            outcome, recorded = metered(folder, open_meter, drive, PHASES, lambda: None, display.say)
    requests = read_trace(folder, "requests")
    if outcome.interrupted and not requests.num_rows:
        raise KeyboardInterrupt
    if run and recorded:
        _record(run, cell, spec, outcome, recorded)
        if recorded.problem:
            tell(f"the power record is not whole: {recorded.problem}")
    summary = _summary(spec, outcome, requests, slo_ms)
    write_json(out / "summary.json", summary)
    return LoadTest(summary, run, outcome.interrupted)


def _summary(
    spec: LoadSpec, outcome: LoadResult, requests: pa.Table, slo_ms: Mapping[str, float] | None
) -> dict[str, Any]:
    load = spec.load
    most = load.max_in_flight if isinstance(load, Open) else None
    mean_gap_s = 1 / mean_rate(load) if isinstance(load, Open) else 0.0
    return {
        "schema_version": SCHEMA_VERSION,
        "url": shown_url(spec.url),
        "model": spec.model,
        "load": load.model_dump(mode="json"),
        "errors": dict(outcome.errors),
        "first_errors": first_errors(requests),
        "gave_up": outcome.gave_up,
        "audit": outcome.audit.model_dump(mode="json"),
        "interrupted": outcome.interrupted,
        "invalid": generator_problems(requests, is_open=load.kind == "open", most_in_flight=most),
        "slo_ms": None if slo_ms is None else dict(slo_ms),
        "metrics": summarise(requests, slo_ms, most, mean_gap_s=mean_gap_s),
    }


def _driven(
    spec: LoadSpec,
    folder: Path,
    key: str | None,
    display: Display,
    check: Callable[[], None] = lambda: None,
) -> LoadResult:
    time_left = TimeLeft(spec)

    def show(progress: Mapping[str, Any]) -> None:
        display.expect(time_left.after(progress))
        display.say(_words(progress))

    return run_load(
        spec, folder, api_key=key, on_progress=show, check=check, watcher=GUARD, returns_on_interrupt=True
    )


def _record(run: RunDir, key: CellKey, spec: LoadSpec, outcome: LoadResult, recorded: Recorded) -> None:
    """Make it a one-cell run: ``cell.json``, manifest and plan."""
    dataset, run_id, folder = load_dataset(spec.prompts.dataset), new_run_id(), run.cell(key)
    validity = [] if dataset.has_tests else [NO_TESTS]
    record_cell(folder, key, outcome, recorded, run_id=run_id, served=Served(), validity=validity)
    shutil.copyfile(folder / "requests.parquet", run.root / "requests.parquet")
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "run_id": run_id,
        "host": host(),
        "packages": package_versions(),
        "endpoint": {"url": shown_url(spec.url), "model": spec.model},
        "dataset": {"name": dataset.name, "sha256": dataset.sha256, "tasks": len(dataset.tasks)},
        "load": spec.model_dump(mode="json", exclude={"url"}),
        "seed": spec.seed,
        **(_meters_here(recorded) if recorded.host is None else _meters_there(recorded.host, recorded)),
    }
    write_json(run.manifest, manifest)
    row = {"model": key.model, "variant": key.variant, "load": key.load, "block": key.block, "position": 0}
    write_parquet(run.plan, pa.Table.from_pylist([row], schema=stamped(PLAN)))


def _meters_here(recorded: Recorded) -> dict[str, Any]:
    """What is metered; where a board fails now, the load that was measured is kept without."""
    problem = recorded.problem
    gpus: list[dict[str, Any]] = []
    used = calibration = None
    try:
        gpus, used, calibration = (
            [asdict(gpu) for gpu in gpu_inventory()],
            choose_sources(Meters()),
            calibrate(recorded.boards),
        )
    except MeterError as error:
        problem = problem or str(error)
    return {"gpus": gpus, "meters": {"used": used, "problem": problem}, "sensor_calibration": calibration}


def _meters_there(host: Mapping[str, Any], recorded: Recorded) -> dict[str, Any]:
    """What the service said of its own host."""
    return {
        "gpus": host.get("gpus", []),
        "meters": {
            "used": host.get("sources"),
            "problem": recorded.problem,
            "marks": list(recorded.marks),
        },
        "meter_host": {name: host.get(name) for name in ("name", "boot_id", "cpus")},
        "sensor_calibration": host.get("sensor_calibration"),
    }


def _words(progress: Mapping[str, Any]) -> str:
    planned = f"/{progress['planned']}" if progress["planned"] is not None else ""
    return f"{progress['phase']} {progress['ended']}{planned}, {progress['in_flight']} in flight"
