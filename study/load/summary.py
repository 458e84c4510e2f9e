"""Make the figures of one load test: ``summary.json`` and the table that ``starwatt load`` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from analysis.requests.columns import Requests
from analysis.requests.latency import latencies, latency_spreads, slo_share
from analysis.requests.window import WindowShare, measured_window, rated, shares_in
from analysis.results.headline import ESTIMATED
from analysis.results.sentences import significant
from analysis.tables import read_table
from analysis.validity.reasons import EXPLANATIONS, request_checks
from configs.loads import Open
from traces.layout import RunDir

_OF_THE_GENERATOR = {"generator_lagged", "rate_not_reached"}
LATENCIES = {
    "ttft": "TTFT",
    "itl": "ITL",
    "tpot": "TPOT",
    "e2e": "end to end",
    "dispatch_lag": "dispatch lag",
}


def summarise(
    requests: Requests,
    slo_ms: Mapping[str, float] | None = None,
    most_in_flight: int | None = None,
    *,
    open_load: Open | None = None,
) -> dict[str, Any]:
    """Counts, rates and latencies (milliseconds) of the measured requests, as the tables of a run define them.

    Rates are over the window, those of an ``open_load`` over at least N gaps for N requests. None where nothing was
    completed.

    ``not_streamed`` counts answers whose tokens came all at once. Where most did, there is no time between tokens.
    With ``slo_ms`` (bounds by latency) there is ``goodput``.
    """
    latency, share = latencies(requests, most_in_flight), _rated(requests, open_load)
    metrics: dict[str, Any] = {
        "measured_requests": int(requests.measured.sum()),
        "completed_requests": int(requests.completed.sum()),
        "failed_requests": int((requests.measured & ~requests.ok).sum()),
        "duration_s": None if share is None else share.window.seconds,
        "request_rate": None if share is None else share.request_rate,
        "output_token_rate": None if share is None else share.output_token_rate,
        "not_streamed": int(latency.at_once.sum()),
    }
    spreads = latency_spreads(requests, latency)
    metrics |= {f"{name}_ms": spreads[name] for name in LATENCIES}
    if slo_ms is not None:
        kept = slo_share(requests, latency, slo_ms)
        metrics["goodput"] = None if share is None else share.goodput(kept)
    return metrics


def _rated(requests: Requests, open_load: Open | None) -> WindowShare | None:
    """Return what the rates are of; None where nothing was completed."""
    window = measured_window(requests)
    if window is None:
        return None
    share = shares_in(requests, window)
    return share if open_load is None else rated(requests, share, open_load.qps)


def generator_problems(
    requests: Requests, *, is_open: bool, most_in_flight: int | None = None
) -> list[dict[str, Any]]:
    """Say why the load was not as asked for, by the bounds of ``analysis/validity/reasons.py``; empty where it was."""
    latency, is_capped = latencies(requests, most_in_flight), most_in_flight is not None
    return [
        {
            "reason": check.code,
            "explanation": EXPLANATIONS[check.code],
            **{name: getattr(check, name) for name in ("value", "unit", "lo", "hi")},
        }
        for check in request_checks(requests, latency, is_open=is_open, is_capped=is_capped)
        if check.failed and check.code in _OF_THE_GENERATOR
    ]


def summary_table(summary: dict[str, Any]) -> Table:
    """Lay out a load test's figures for the terminal."""
    metrics = summary["metrics"]
    table = Table(
        title=f"{metrics['completed_requests']} of {metrics['measured_requests']} requests completed"
    )
    for column in ("", "mean", "p50", "p90", "p99"):
        table.add_column(column, justify="left" if not column else "right")
    for name, title in LATENCIES.items():
        spread = metrics[f"{name}_ms"]
        table.add_row(f"{title} (ms)", *(shown(spread[key]) for key in ("mean", "p50", "p90", "p99")))
    table.add_section()
    table.add_row("requests/s", shown(metrics["request_rate"]))
    table.add_row("output tokens/s", shown(metrics["output_token_rate"]))
    if "goodput" in metrics:
        bounds = ", ".join(f"{name} {bound:g} ms" for name, bound in summary["slo_ms"].items())
        table.add_row(f"goodput (requests/s; {bounds})", shown(metrics["goodput"]))
    audit = summary["audit"]
    if audit["offered_rate"] is not None:
        table.add_row("offered requests/s", shown(audit["offered_rate"]))
    for name in ("connections_open_most", "connections_opened_late", "resent"):
        if audit[name]:
            table.add_row(name.replace("_", " "), str(audit[name]))
    return table


def energy_words(run: RunDir) -> list[str]:
    """Return one line a (boundary, source) of a one-cell run: joules and watts, and why not to believe them."""
    wanted = {"j_per_request", "j_per_request_net", "j_per_output_token", "power_mean_w"}
    meters: dict[tuple[str, str], dict[str, float | None]] = {}
    doubts: dict[tuple[str, str], str] = {}
    for row in read_table(run, "cells").to_pylist():
        if row["metric"] in wanted and row["source"] is not None:
            meters.setdefault((row["boundary"], row["source"]), {})[row["metric"]] = row["value"]
        if row["metric"] == "j_per_request" and row["source"] is not None and not row["valid"]:
            doubts[row["boundary"], row["source"]] = f" (not to be believed: {', '.join(row['reasons'])})"
    return [
        f"{boundary} ({ESTIMATED if source == 'modelled' else source}): "
        f"{significant(values.get('j_per_request'))} J/request gross, "
        f"{significant(values.get('j_per_request_net'))} net of idle, "
        f"{significant(values.get('j_per_output_token'))} J/output token, "
        f"{significant(values.get('power_mean_w'))} W{doubts.get((boundary, source), '')}"
        for (boundary, source), values in meters.items()
    ]


def shown(value: float | None) -> str:
    """Write a figure of a load test for the terminal."""
    return "–" if value is None else f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
