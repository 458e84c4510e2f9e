"""``starwatt load``: one load on an endpoint that already runs, as a run of one cell, with or without energy."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analysis.requests.columns import Requests, read_columns
from configs.addresses import shown_url
from configs.datasets import load_dataset
from configs.loads import Open
from configs.meters import Meters
from loadgen.planning.payload import Endpoint
from loadgen.planning.recorded import with_lengths
from loadgen.process import run_load
from loadgen.result import LoadResult
from loadgen.spec import LoadSpec
from server.power.calibration.calibrate import calibrate
from server.power.meters import choose_sources
from server.power.nvidia.inventory import gpu_inventory
from server.process.guard import GUARD
from starwatt_errors import MeterError
from study.load.called import AS_SERVED, Called
from study.load.folder import emptied_unless_requests_came, take
from study.load.metering import PHASES, meter_of, told_once
from study.load.model_trial import refuse_unknown_model
from study.load.recorded import LENGTH_COLUMNS, lengths_kept, prepared, stand_in
from study.load.remarks import ERROR_COLUMNS, first_errors
from study.load.summary import generator_problems, summarise
from study.load.time_left import TimeLeft
from study.measure.chat_trial import refuse_without_chat
from study.measure.meter import Recorded
from study.measure.metered import metered, record_cell
from study.measure.one_request import url_of
from study.measure.secrets import api_key
from study.plan.cells import unplanned_table
from study.plan.prompts import NO_TESTS, codes_of, keep_prompts
from study.progress.display import Display, tell
from study.records.manifest import description
from study.records.run_id import new_run_id
from traces.atomic import write_json, write_parquet
from traces.cell import Served
from traces.layout import CellKey, RunDir
from traces.pieces import Trace, open_trace
from traces.schemas import SCHEMA_VERSION

_AT_HAND = ("requests", "schedule")
"""Traces that lie in the folder of the load test too."""


@dataclass(frozen=True)
class LoadTest:
    """Hold what a load test leaves in its folder."""

    summary: dict[str, Any]
    run: RunDir
    """Of one cell."""
    interrupted: bool


def load_test(
    spec: LoadSpec,
    out: Path,
    *,
    meter_at: str | None,
    slo_ms: Mapping[str, float] | None = None,
    called: Called = AS_SERVED,
) -> LoadTest:
    """Drive ``spec`` and leave a run of one cell in ``out``, and ``summary.json``; Ctrl-C ends it with these.

    With ``meter_at`` (``local``, or the URL of a `starwatt meter --serve`), power is recorded beside it. ``slo_ms`` are
    the bounds of goodput. Where nothing came of it, ``out`` is as it was.

    Raises:
        UsageError: ``out`` is in use, ``meter_at`` is no meter, no header carries the key; a model or chat is refused.
        LoadError: the endpoint cannot be reached.
        MeterError: no meter answers.
        KeyboardInterrupt: Ctrl-C came before the first request.
    """
    key, cell = api_key(), called.key(spec)
    take(out)
    refuse_unknown_model(spec, key)
    if spec.endpoint == "chat":
        refuse_without_chat(spec.url, spec.model, key, client=spec.client)
    spec = prepared(spec, key)
    run = RunDir(out)
    with emptied_unless_requests_came(out):
        if with_lengths(spec.load) is None:
            keep_prompts(run, spec.prompts.dataset)
        try:
            outcome, recorded = _measured(spec, run.cell(cell), meter_at, key)
        finally:
            _lay_at_hand(run.cell(cell), out)
        requests = read_columns(open_trace(out, "requests"))
        if outcome.interrupted and not requests.count:
            raise KeyboardInterrupt
        bounds = {} if slo_ms is None else {"slo_ms": dict(slo_ms)}
        _record(run, cell, spec, outcome, recorded, bounds, metered=meter_at is not None)
        if recorded.problem:
            tell(f"the power record is not whole: {recorded.problem}")
        summary = _summary(spec, outcome, requests, slo_ms)
        write_json(out / "summary.json", summary)
    return LoadTest(summary, run, outcome.interrupted)


def _measured(
    spec: LoadSpec, folder: Path, meter_at: str | None, key: str | None
) -> tuple[LoadResult, Recorded]:
    time_left = TimeLeft(spec)

    def show(progress: Mapping[str, Any]) -> None:
        display.expect(time_left.after(progress))
        display.status(_words(progress))

    def drive(check: Callable[[], None]) -> LoadResult:
        return run_load(
            spec, folder, api_key=key, on_progress=show, check=check, watcher=GUARD, returns_on_interrupt=True
        )

    with Display("load", 1) as display:
        display.title(spec.load.slug if display.live else f"{spec.load.slug} on {shown_url(spec.url)}")
        open_meter, phases = meter_of(spec.url, meter_at), None if meter_at is None else PHASES
        return metered(folder, open_meter, drive, phases, lambda: None, display.status, told_once())


def _lay_at_hand(folder: Path, out: Path) -> None:
    for name in _AT_HAND:
        for trace in folder.glob(f"{name}.*"):
            shutil.copyfile(trace, out / trace.name)


def _summary(
    spec: LoadSpec, outcome: LoadResult, requests: Requests, slo_ms: Mapping[str, float] | None
) -> dict[str, Any]:
    load = spec.load
    open_load = load if isinstance(load, Open) else None
    most = None if open_load is None else open_load.max_in_flight
    return {
        "schema_version": SCHEMA_VERSION,
        "url": shown_url(spec.url),
        "asked_at": url_of(Endpoint.parse(spec.url, spec.endpoint)),
        "model": spec.model,
        "load": load.model_dump(mode="json"),
        "errors": dict(outcome.errors),
        "first_errors": first_errors(requests.trace.read(ERROR_COLUMNS)),
        "gave_up": outcome.gave_up,
        "audit": outcome.audit.model_dump(mode="json"),
        "interrupted": outcome.interrupted,
        "invalid": generator_problems(requests, is_open=load.kind == "open", most_in_flight=most),
        "slo_ms": None if slo_ms is None else dict(slo_ms),
        "recording": _of_the_recording(spec, requests.trace),
        "metrics": summarise(requests, slo_ms, most, open_load=open_load),
    }


def _of_the_recording(spec: LoadSpec, requests: Trace) -> dict[str, Any] | None:
    """Return what was replayed, and how its lengths were kept; None where prompts came from a data set."""
    recording = with_lengths(spec.load)
    if recording is None or spec.wording is None:
        return None
    return {
        "requests": len(recording.offsets_ns),
        "unanswered": recording.unanswered,
        "too_long": recording.too_long,
        "block_tokens": recording.block_tokens,
        "counted": spec.wording.counted,
        "tokens_per_word": spec.wording.tokens_per_word,
        "overhead_tokens": spec.wording.overhead_tokens,
        **(lengths_kept(requests.read(LENGTH_COLUMNS)) or {}),
    }


def _record(
    run: RunDir,
    key: CellKey,
    spec: LoadSpec,
    outcome: LoadResult,
    recorded: Recorded,
    bounds: Mapping[str, Any],
    *,
    metered: bool,
) -> None:
    """Make it a run of one cell: ``cell.json``, manifest and plan."""
    recording, run_id = with_lengths(spec.load), new_run_id()
    dataset = load_dataset(spec.prompts.dataset) if recording is None else stand_in(spec.load, recording)
    validity = [*codes_of(spec.load)] or ([] if dataset.has_tests else [NO_TESTS])
    record_cell(run.cell(key), key, outcome, recorded, run_id=run_id, served=Served(), validity=validity)
    power = _meters_here(recorded) if recorded.host is None else _meters_there(recorded.host, recorded)
    manifest = {
        **description(dataset, spec.seed),
        "run_id": run_id,
        "endpoint": {"url": shown_url(spec.url), "model": spec.model},
        "load": spec.model_dump(mode="json", exclude={"url"}),
        **bounds,
        **(power if metered else {}),
    }
    write_json(run.manifest, manifest)
    write_parquet(run.plan, unplanned_table([key]))


def _meters_here(recorded: Recorded) -> dict[str, Any]:
    """Describe what is metered; where a board fails now, the load that was measured is kept without."""
    try:
        gpus, used = [asdict(gpu) for gpu in gpu_inventory()], choose_sources(Meters())
        meters = {"used": used, "problem": recorded.problem}
        return {"gpus": gpus, "meters": meters, "sensor_calibration": calibrate(recorded.boards)}
    except MeterError as error:
        meters = {"used": None, "problem": recorded.problem or str(error)}
        return {"gpus": [], "meters": meters, "sensor_calibration": None}


def _meters_there(host: Mapping[str, Any], recorded: Recorded) -> dict[str, Any]:
    """Return what the service said of its own host."""
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
