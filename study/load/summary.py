"""The figures of one load test: ``summary.json`` and the table that ``starwatt load`` prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from rich.table import Table

from analysis.arrays import Bools, Floats, spread
from analysis.requests.columns import Requests, read_columns
from analysis.requests.latency import Latencies, kept_slo, latencies
from analysis.requests.window import measured_window
from analysis.results.headline import ESTIMATED, significant
from analysis.tables import read_table
from analysis.validity.reasons import EXPLANATIONS, request_checks
from traces.layout import RunDir

_NO_TIME_NS = 10_000
"""Between two tokens: of an answer that was not streamed, or not by everything between its server and us."""
_OF_THE_GENERATOR = {"generator_lagged", "rate_not_reached"}
LATENCIES = {
    "ttft": "TTFT",
    "itl": "ITL",
    "tpot": "TPOT",
    "e2e": "end to end",
    "dispatch_lag": "dispatch lag",
}


def summarise(
    table: pa.Table,
    slo_ms: Mapping[str, float] | None = None,
    most_in_flight: int | None = None,
    *,
    mean_gap_s: float = 0.0,
) -> dict[str, Any]:
    """Counts, rates and latencies (milliseconds) of the measured requests of a ``requests`` trace.

    Rates are over the time from the first measured request sent to the last one ended; of an open load, whose requests
    are ``mean_gap_s`` apart in the mean, at least to such a gap after the last one was due: N requests fill N gaps.
    None where nothing was completed.

    ``not_streamed`` counts answers whose tokens came all at once. Where most did, there is no time between tokens.
    With ``slo_ms`` (bounds by latency) there is ``goodput``: completed requests a second that kept all of them.
    """
    requests = read_columns(table)
    completed = requests.completed
    metrics: dict[str, Any] = {
        "measured_requests": int(requests.measured.sum()),
        "completed_requests": int(completed.sum()),
        "failed_requests": int((requests.measured & ~requests.ok).sum()),
        **_rates(requests, mean_gap_s),
    }
    at_once = int(_came_at_once(requests).sum())
    metrics["not_streamed"] = at_once
    found = latencies(requests, most_in_flight)
    if 2 * at_once > metrics["completed_requests"]:
        nothing = np.zeros(0)
        found = replace(found, itl_ms=nothing, tpot_ms=np.full_like(found.tpot_ms, np.nan))
    for name in LATENCIES:
        values: Floats = getattr(found, f"{name}_ms")
        metrics[f"{name}_ms"] = spread(values if name == "itl" else values[completed])
    if slo_ms is not None:
        metrics["goodput"] = _goodput(requests, found, slo_ms, metrics["duration_s"])
    return metrics


def generator_problems(
    table: pa.Table, *, is_open: bool, most_in_flight: int | None = None
) -> list[dict[str, Any]]:
    """Why the load was not the one asked for, by the bounds of ``analysis/validity/reasons.py``; empty where it was."""
    requests = read_columns(table)
    return [
        {
            "reason": check.code,
            "explanation": EXPLANATIONS[check.code],
            "value": check.value,
            "unit": check.unit,
            "lo": check.lo,
            "hi": check.hi,
        }
        for check in request_checks(
            requests,
            latencies(requests, most_in_flight),
            is_open=is_open,
            is_capped=most_in_flight is not None,
        )
        if check.failed and check.code in _OF_THE_GENERATOR
    ]


def summary_table(summary: dict[str, Any]) -> Table:
    """A load test's figures for the terminal."""
    metrics = summary["metrics"]
    table = Table(
        title=f"{metrics['completed_requests']} of {metrics['measured_requests']} requests completed"
    )
    for column in ("", "mean", "p50", "p90", "p99"):
        table.add_column(column, justify="left" if not column else "right")
    for name, title in LATENCIES.items():
        spread = metrics[f"{name}_ms"]
        table.add_row(f"{title} (ms)", *(_shown(spread[key]) for key in ("mean", "p50", "p90", "p99")))
    table.add_section()
    table.add_row("requests/s", _shown(metrics["request_rate"]))
    table.add_row("output tokens/s", _shown(metrics["output_token_rate"]))
    if "goodput" in metrics:
        bounds = ", ".join(f"{name} {bound:g} ms" for name, bound in summary["slo_ms"].items())
        table.add_row(f"goodput (requests/s; {bounds})", _shown(metrics["goodput"]))
    audit = summary["audit"]
    if audit["offered_rate"] is not None:
        table.add_row("offered requests/s", _shown(audit["offered_rate"]))
    for name in ("connections_open_most", "connections_opened_late", "resent"):
        if audit[name]:
            table.add_row(name.replace("_", " "), str(audit[name]))
    return table


def energy_words(run: RunDir) -> list[str]:
    """One line a (boundary, source) of a one-cell run: joules per request and per token, and watts."""
    wanted = {"j_per_request", "j_per_request_net", "j_per_output_token", "power_mean_w"}
    found: dict[tuple[str, str], dict[str, float | None]] = {}
    for row in read_table(run, "cells").to_pylist():
        if row["metric"] in wanted and row["source"] is not None:
            found.setdefault((row["boundary"], row["source"]), {})[row["metric"]] = row["value"]
    return [
        f"{boundary} ({ESTIMATED if source == 'modelled' else source}): "
        f"{significant(values.get('j_per_request'))} J/request gross, "
        f"{significant(values.get('j_per_request_net'))} net of idle, "
        f"{significant(values.get('j_per_output_token'))} J/output token, "
        f"{significant(values.get('power_mean_w'))} W"
        for (boundary, source), values in found.items()
    ]


def _came_at_once(requests: Requests) -> Bools:
    """Completed requests of several tokens that arrived in no time; no model is as quick as that."""
    chunks = np.diff(requests.chunk_start)
    rows = np.flatnonzero(requests.completed & (chunks > 0))
    last, first = requests.chunk_start[1:][rows] - 1, requests.chunk_start[:-1][rows]
    span_ns = requests.chunk_ns[last] - requests.chunk_ns[first]
    gaps = np.fmax(requests.output_tokens[rows], chunks[rows]) - 1
    found = np.zeros(chunks.size, dtype=np.bool_)
    found[rows] = (gaps > 0) & (span_ns < gaps * _NO_TIME_NS)
    return found


def _rates(requests: Requests, mean_gap_s: float) -> dict[str, float | None]:
    completed, window = requests.completed, measured_window(requests)
    if window is None:
        return {"duration_s": None, "request_rate": None, "output_token_rate": None}
    last_due_ns = int(requests.scheduled_ns[requests.measured & requests.timed].max())
    last_ns = max(window.end_ns, last_due_ns + round(mean_gap_s * 1e9))
    duration_s = (last_ns - window.start_ns) * 1e-9
    tokens = requests.output_tokens[completed]
    return {
        "duration_s": duration_s,
        "request_rate": int(completed.sum()) / duration_s,
        "output_token_rate": None if np.isnan(tokens).any() else float(tokens.sum()) / duration_s,
    }


def _goodput(
    requests: Requests, found: Latencies, slo_ms: Mapping[str, float], duration_s: float | None
) -> float | None:
    """None where nothing was completed, or where TPOT has a bound and can't be told of every answer."""
    completed = requests.completed
    untold = completed & ~(requests.output_tokens <= 1) & np.isnan(found.tpot_ms)
    if duration_s is None or ("tpot" in slo_ms and untold.any()):
        return None
    return int(kept_slo(requests, found, slo_ms).sum()) / duration_s


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
