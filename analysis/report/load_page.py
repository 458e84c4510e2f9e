"""The page of a load test: one load on an endpoint, measured once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from analysis.keys import MeterKey
from analysis.metrics import metric
from analysis.opened import OpenedRun
from analysis.report.figures.catalogue import drawings_of
from analysis.report.pages.templates import rendered
from analysis.report.tables.table import TextTable
from analysis.results.points import Results
from analysis.results.sentences import significant, with_bounds
from starwatt_errors import TraceError
from traces.atomic import read_json

_SECTIONS = (
    ("answer", "The answer"),
    ("latency", "Latency"),
    ("energy", "Energy"),
    ("figures", "Figures"),
    ("validity", "Left out"),
    ("method", "Method"),
    ("manifest", "Where"),
)
_LATENCIES = ("ttft", "tpot", "itl", "e2e")
_PARTS = ("mean", "p50", "p90", "p99")
_ENERGY = (
    "j_per_request", "j_per_request_idle", "j_per_request_net", "j_per_output_token", "wh_per_1000_requests",
    "power_mean_w", "power_idle_w", "energy_gross_j",
)  # fmt: skip
_FIGURES = ("power", "requests")
_Figures = Mapping[str, Mapping[str, Any]]
"""Rows of ``tables/cells``, by metric."""


def is_load_test(run: OpenedRun) -> bool:
    """Say whether a run is one of ``starwatt load``: it has an endpoint and no study."""
    return run.context.study is None and isinstance(run.context.manifest.get("endpoint"), dict)


def render_load_test(run: OpenedRun, results: Results, common: Mapping[str, Any]) -> str:
    """Render the page, the same text for the same tables and traces; ``common`` is what the page of any run says."""
    figures = _figures(results)
    return rendered(
        "load_test.html.j2",
        **{**common, "lines": _head(run, common["lines"])},
        links=_SECTIONS,
        of=_load_words(run.context.manifest),
        against=[(code, explanation) for code, explanation, *_ in common["excluded"] if code != "no_power"],
        sentences=_sentences(run, figures, estimated=results.estimated),
        latency=_latency(figures),
        energy=_energy(figures),
        drawings=drawings_of(run, results, _FIGURES),
    )


def _head(run: OpenedRun, lines: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """As any run's, with what was asked in place of variants and blocks."""
    endpoint = run.context.manifest["endpoint"]
    head = [("Endpoint", str(endpoint.get("url") or "")), ("Model", str(endpoint.get("model") or ""))]
    head += [("Load", _load_words(run.context.manifest))]
    head += [(name, words) for name, words in lines if name not in ("Model", "Blocks", "Engine")]
    return [(name, words) for name, words in head if words]


def _load_words(manifest: Mapping[str, Any]) -> str:
    """Return how requests were offered."""
    spec = manifest.get("load")
    load = spec.get("load") if isinstance(spec, dict) else None
    if not isinstance(load, dict):
        return "one load"
    if load.get("kind") == "single_stream":
        return "one request at a time"
    if load.get("kind") == "closed":
        return f"{load.get('concurrency')} requests in flight"
    cap = f", at most {load['max_in_flight']} in flight" if load.get("max_in_flight") else ""
    rate = (
        f"{load['qps']:g} requests/s, {load.get('arrivals')}" if load.get("qps") else "arrivals as recorded"
    )
    return rate + cap


def _figures(results: Results) -> _Figures:
    """Return every figure of its one cell by name, valid or not: whoever tests an endpoint looks at what it did."""
    return {
        row["metric"]: row
        for row in results.cell_rows
        if row["value"] is not None and MeterKey.of(row) in (None, results.pair)
    }


def _value(figures: _Figures, name: str) -> str:
    return significant(figures[name]["value"]) if name in figures else "–"


def _sentences(run: OpenedRun, figures: _Figures, *, estimated: bool) -> list[str]:
    """Return what it comes to: what was served, at what cost, how quickly; and what failed."""
    if "requests_completed" not in figures:
        return []
    told, value = _told(run), partial(_value, figures)
    of = f" of {told['measured_requests']}" if told.get("measured_requests") else ""
    rates = f"{value('request_rate')} requests/s and {value('output_token_rate')} output tokens/s"
    said = [f"{figures['requests_completed']['value']:.0f}{of} requests completed, {rates}"]
    if "j_per_request" in figures:
        kind = "estimated " * estimated
        said.append(
            f"{_measured(figures, 'j_per_request')} {kind}J/request, {value('j_per_output_token')} {kind}J/output "
            f"token, {value('wh_per_1000_requests')} {kind}Wh/1000 requests"
        )
    if "e2e_p50_ms" in figures:
        said.append(
            f"The first token came after {value('ttft_p50_ms')} ms and the whole answer after {value('e2e_p50_ms')} ms "
            f"(medians); 99 of 100 within {value('ttft_p99_ms')} and {value('e2e_p99_ms')} ms"
        )
    failed = told.get("failed_requests")
    return [*said, f"{failed} request{'s' if failed != 1 else ''} failed"] if failed else said


def _told(run: OpenedRun) -> Mapping[str, Any]:
    """Return the figures of ``summary.json``; none where there is no such file, or it cannot be read."""
    path = run.dir.root / "summary.json"
    try:
        figures = read_json(path).get("metrics") if path.is_file() else None
    except (TraceError, AttributeError):
        return {}
    return figures if isinstance(figures, dict) else {}


def _measured(figures: _Figures, name: str) -> str:
    """Return a figure with what its measurement leaves open."""
    row = figures.get(name)
    if row is None or row["interval_kind"] != "measurement":
        return _value(figures, name)
    return with_bounds(row["value"], row["lo"], row["hi"])


def _latency(figures: _Figures) -> TextTable:
    rows = (
        (
            metric(f"{kind}_p50_ms").label.removesuffix(" p50"),
            *(_value(figures, f"{kind}_{part}_ms") for part in _PARTS),
        )
        for kind in _LATENCIES
    )
    return TextTable(("ms", *_PARTS), tuple(rows), 1)


def _energy(figures: _Figures) -> TextTable:
    rows = ((metric(name).label, _measured(figures, name), metric(name).unit) for name in _ENERGY)
    return TextTable(("what", "value", "unit"), tuple(rows), 1)
