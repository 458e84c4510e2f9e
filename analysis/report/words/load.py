"""What a page says of one load: who drove it, how requests were offered, and how many were served well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.opened import OpenedRun
from analysis.requests.columns import read_columns
from analysis.requests.latency import kept_slo, latencies, slo_share
from configs.loads import load_called
from starwatt_errors import TraceError
from traces.imported import Imported
from traces.streams import read_trace


@dataclass(frozen=True)
class Counted:
    """Hold how many of a load's measured requests there were, and how many failed or were good."""

    measured: int
    failed: int
    good: int | None
    """Kept every bound; None: there are none, or a latency that one is of is not known."""


def is_one_load(run: OpenedRun) -> bool:
    """Say whether a run is one of ``starwatt load``, or the only load that was imported into it."""
    if run.context.study is not None:
        return False
    return isinstance(run.context.manifest.get("endpoint"), dict) or imported_once(run) is not None


def imported_once(run: OpenedRun) -> Imported | None:
    """Return where the only load of a run is from; None where there are several, or starwatt measured it."""
    if len(list(run.dir.finished_cells())) != 1:
        return None
    return next((record.imported for record in run.records.values()), None)


def head_words(run: OpenedRun) -> list[tuple[str, str]]:
    """Return who was asked for which model, and how, in place of variants and blocks."""
    imported, load = imported_once(run), ("Load", offered_words(run))
    if imported is not None:
        [key] = run.records
        return [("Model", key.model.replace("--", "/")), load]
    endpoint = run.context.manifest["endpoint"]
    return [("Endpoint", str(endpoint.get("url") or "")), ("Model", str(endpoint.get("model") or "")), load]


def by_words(imported: Imported) -> str:
    """Name the tool that wrote a load, its version and the file."""
    return f"{' '.join(filter(None, (imported.tool, imported.version)))} ({imported.requests.name})"


def offered_words(run: OpenedRun) -> str:
    """Return how requests were offered: by the manifest, or of what was imported by the load's name."""
    spec = run.context.manifest.get("load")
    load = spec.get("load") if isinstance(spec, dict) else None
    if imported_once(run) is not None:
        [key] = run.records
        called = load_called(key.load)
        return key.load if called is None else _of_load(called.model_dump())
    return _of_load(load) if isinstance(load, dict) else "one load"


def _of_load(load: Mapping[str, Any]) -> str:
    if load.get("kind") == "single_stream":
        return "one request at a time"
    if load.get("kind") == "closed":
        return f"{load.get('concurrency')} requests in flight"
    cap = f", at most {load['max_in_flight']} in flight" if load.get("max_in_flight") else ""
    rate = (
        f"{load['qps']:g} requests/s, {load.get('arrivals')}" if load.get("qps") else "arrivals as recorded"
    )
    return rate + cap


def latency_from(run: OpenedRun) -> str:
    """Say from when TTFT and e2e count: what was imported may not say when a request was due."""
    unknown = {
        record.imported is not None and "lag_unknown" in record.imported.unknown
        for record in run.records.values()
    }
    if unknown == {True}:
        return "from when a request was sent (when it was due is not known)"
    beside = " (of imported loads that do not say when: from when it was sent)" if True in unknown else ""
    return f"from the time a request was scheduled{beside}"


def counted(run: OpenedRun) -> Counted | None:
    """Count the measured requests of a run's first load; None where its trace cannot be read."""
    key = next(iter(run.records), None)
    if key is None:
        return None
    try:
        requests = read_columns(read_trace(run.dir.cell(key), "requests"))
    except TraceError:
        return None
    bounds_ms, latency = run.context.slo_ms, latencies(requests, run.context.most_in_flight(key.load))
    known = bounds_ms is not None and slo_share(requests, latency, bounds_ms) is not None
    good = int(kept_slo(requests, latency, bounds_ms).sum()) if known and bounds_ms is not None else None
    return Counted(int(requests.measured.sum()), int((requests.measured & ~requests.ok).sum()), good)
