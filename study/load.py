"""``starwatt load``: load-test an endpoint that already runs, with or without energy."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pyarrow as pa

from configs.datasets import load_dataset
from configs.schema import Meters, Open
from loadgen.process import run_load
from loadgen.result import LoadResult
from loadgen.spec import LoadSpec
from server.power.calibration import calibrate
from server.power.inventory import gpu_inventory
from server.power.meters import choose_sources
from server.power.sidecar import Sidecar
from starwatt_errors import MeterError, UsageError
from study.cell import SETTLE_S, sidecar_audit
from study.display import Display
from study.manifest import host, package_versions
from study.run import api_key
from study.summary import generator_problems, summarise
from traces.atomic import write_json, write_parquet
from traces.cell import CellRecord, Phase, Served, write_cell
from traces.clock import boot_id, now_ns
from traces.layout import CellKey, RunDir, model_slug
from traces.schemas import PLAN, SCHEMA_VERSION
from traces.streams import read_trace, stamped

VARIANT = "endpoint"
_IDLE_S = 3.0


@dataclass(frozen=True)
class LoadTest:
    """What a load test leaves in its folder."""

    summary: dict[str, Any]
    run: RunDir | None
    """The one-cell run, where energy was metered."""
    interrupted: bool


def load_test(
    spec: LoadSpec, out: Path, *, metered: bool, slo_ms: Mapping[str, float] | None = None
) -> LoadTest:
    """Drive ``spec`` and write ``out/requests.parquet`` and ``out/summary.json``.

    With ``metered``, power is recorded beside it, and ``out`` is a one-cell run. ``slo_ms`` are the bounds of goodput.

    Raises:
        UsageError: ``out`` is not empty.
        LoadError: the endpoint cannot be reached.
        MeterError: no meter answers.
    """
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"--out {out} is not empty: take a new folder, so that nothing measured is lost")
    run = RunDir(out) if metered else None
    key = CellKey(model_slug(spec.model), VARIANT, spec.load.slug, spec.block)
    folder = run.cell(key) if run else out
    with Display("load", 1) as display:
        display.title(f"{spec.load.slug} on {spec.url}")
        outcome = _metered(spec, folder, key, display) if run else _driven(spec, folder, display)
    if run:
        shutil.copyfile(folder / "requests.parquet", out / "requests.parquet")
        _describe(run, spec, key)
    requests = read_trace(folder, "requests")
    most = spec.load.max_in_flight if isinstance(spec.load, Open) else None
    summary = {
        "schema_version": SCHEMA_VERSION,
        "url": _without_credentials(spec.url),
        "model": spec.model,
        "load": spec.load.model_dump(mode="json"),
        "errors": dict(outcome.errors),
        "audit": outcome.audit.model_dump(mode="json"),
        "interrupted": outcome.interrupted,
        "invalid": generator_problems(requests, is_open=spec.load.kind == "open", most_in_flight=most),
        "slo_ms": None if slo_ms is None else dict(slo_ms),
        "metrics": summarise(requests, slo_ms, most),
    }
    write_json(out / "summary.json", summary)
    return LoadTest(summary, run, outcome.interrupted)


def server_pid(url: str) -> int | None:
    """The process that listens on a loopback URL: what ``modelled`` power needs; None for other hosts."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        return None
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr[1] == parts.port:
            return connection.pid
    return None


def _driven(spec: LoadSpec, folder: Path, display: Display) -> LoadResult:
    return run_load(
        spec, folder, api_key=api_key(), on_progress=lambda progress: display.say(_words(progress))
    )


def _metered(spec: LoadSpec, folder: Path, key: CellKey, display: Display) -> LoadResult:
    pid = server_pid(spec.url)
    if pid is None and choose_sources(Meters()) == ["modelled"]:
        raise MeterError(
            f"--meter local: no power meter answers here, and no process of this machine listens at {spec.url} "
            "from whose CPU time power could be estimated"
        )
    with Sidecar.start(folder, Meters(), engine_pid=pid) as sidecar:
        display.say("idle")
        time.sleep(SETTLE_S)
        idle_before = _idle()
        outcome = _driven(spec, folder, display)
        display.say("idle")
        time.sleep(SETTLE_S)
        idle_after = _idle()
    phases = outcome.phases.model_copy(update={"idle_before": idle_before, "idle_after": idle_after})
    audit = outcome.audit.model_copy(update=sidecar_audit(sidecar))
    write_cell(
        folder,
        CellRecord(
            model=key.model, variant=key.variant, load=key.load, block=key.block, boot_id=boot_id(), phases=phases,
            served=Served(), audit=audit, errors=dict(outcome.errors),
        ),
    )  # fmt: skip
    return outcome


def _idle() -> Phase:
    start_ns = now_ns()
    time.sleep(_IDLE_S)
    return Phase(start_ns=start_ns, end_ns=now_ns())


def _describe(run: RunDir, spec: LoadSpec, key: CellKey) -> None:
    """Plan and manifest of a one-cell run."""
    dataset = load_dataset(spec.prompts.dataset)
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "host": host(),
        "packages": package_versions(),
        "endpoint": {"url": _without_credentials(spec.url), "model": spec.model},
        "dataset": {"name": dataset.name, "sha256": dataset.sha256, "tasks": len(dataset.tasks)},
        "load": spec.model_dump(mode="json", exclude={"url"}),
        "gpus": [asdict(gpu) for gpu in gpu_inventory()],
        "meters": {"used": choose_sources(Meters())},
        "sensor_calibration": calibrate(),
        "seed": spec.seed,
    }
    write_json(run.manifest, manifest)
    row = {"model": key.model, "variant": key.variant, "load": key.load, "block": key.block, "position": 0}
    write_parquet(run.plan, pa.Table.from_pylist([row], schema=stamped(PLAN)))


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _words(progress: Mapping[str, Any]) -> str:
    planned = f"/{progress['planned']}" if progress["planned"] is not None else ""
    return f"{progress['phase']}: {progress['ended']}{planned} measured, {progress['in_flight']} in flight"
