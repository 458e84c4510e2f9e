"""The rows of ``tables/cells``: one a metric, with its unit, interval, validity and reasons."""

from __future__ import annotations

import numpy as np

from analysis.accuracy.score_interval import score_interval
from analysis.arrays import Floats, mean, percentile
from analysis.cells.cell import CellResult, Measured
from analysis.cells.energy_metrics import energy_rows
from analysis.cells.rows import Row, Rows, ratio
from analysis.validity.reasons import reasons_for
from configs.loads import is_probe


def cell_rows(result: CellResult) -> list[Row]:
    """All metrics of one cell; a cell without a window has ``window_s`` alone, null, with the reasons."""
    rows = Rows(result.key)
    reasons = reasons_for("cell", result.codes)
    measured = result.measured
    if measured is None:
        rows.add("window_s", None, "s", reasons)
        for check in result.checks:
            rows.add_check(check)
        return rows.rows
    _throughput(rows, measured, reasons)
    _latency(rows, measured, reasons)
    if not is_probe(result.key.load):
        _accuracy(rows, result, measured)
    if result.record is not None:
        audit = result.record.audit
        rows.add("client_cpu_share", audit.cpu_share, "cpus", [])
        rows.add("sidecar_cpu_share", audit.sidecar_cpu_share, "cpus", [])
    for name, line in result.trends.found.items():
        unit = "°C" if name == "temperature" else "ratio"
        rows.add(f"trend_{name}", line.change, unit, [])
        rows.add(f"trend_{name}_p", line.p, "probability", [])
    for check in result.checks:
        rows.add_check(check)
    idle_w, why = result.idle_boards
    if idle_w is not None:
        rows.add("node_idle_boards_w", idle_w, "W", why)
    for energy in result.energies:
        energy_rows(rows, result, measured, energy)
    if not result.energies:
        spoiled = [*reasons, *result.energy_reasons]
        rows.add("energy_gross_j", None, "J", spoiled)
        rows.add("j_per_request", None, "J", spoiled)
    return rows.rows


def _throughput(rows: Rows, measured: Measured, reasons: list[str]) -> None:
    seconds, share = measured.window.seconds, measured.share
    completed = measured.requests.completed
    reason_given = np.asarray(measured.requests.table.column("finish_reason").to_numpy())
    tokens = share.output_tokens
    rows.add("window_s", seconds, "s", reasons)
    rows.add("requests_completed", float(completed.sum()), "requests", reasons)
    rows.add("requests_in_window", share.requests, "requests", reasons)
    rows.add("output_tokens_in_window", tokens, "tokens", reasons)
    rows.add("tokens_per_request", ratio(tokens, share.requests), "tokens", reasons)
    rows.add("request_rate", share.requests / seconds, "requests/s", reasons)
    rows.add("output_token_rate", ratio(tokens, seconds), "tokens/s", reasons)
    rows.add(
        "finish_length_share",
        mean((reason_given[completed] == "length").astype(np.float64)),
        "ratio",
        reasons,
    )


def _latency(rows: Rows, measured: Measured, reasons: list[str]) -> None:
    latency, completed = measured.latency, measured.requests.completed
    sent = measured.requests.measured & measured.requests.timed
    samples: dict[str, Floats] = {
        "ttft": latency.ttft_ms[completed],
        "tpot": latency.tpot_ms[completed],
        "itl": latency.itl_ms,
        "e2e": latency.e2e_ms[completed],
        "dispatch_lag": latency.dispatch_lag_ms[sent],
    }
    for name, values in samples.items():
        known = values[np.isfinite(values)]
        rows.add(f"{name}_mean_ms", mean(known), "ms", reasons)
        for q in (50, 90, 99):
            rows.add(f"{name}_p{q}_ms", percentile(known, q), "ms", reasons)


def _accuracy(rows: Rows, result: CellResult, measured: Measured) -> None:
    accuracy = measured.accuracy
    reasons = reasons_for("accuracy", [*result.codes, *filter(None, [accuracy.reason])])
    for kind, passed in (("base", accuracy.base_passed), ("plus", accuracy.plus_passed)):
        share = accuracy.mean_share(passed)
        rows.add(f"pass_at_1_{kind}", share, "ratio", reasons)
        if share is not None:
            lo, hi = score_interval(passed / accuracy.samples, 0.0, 1.0)
            rows.rows[-1].update(lo=lo, hi=hi, interval_kind="tasks")
    for k in accuracy.ks[1:] if result.sampled else ():
        base, plus = accuracy.pass_at(k)
        rows.add(f"pass_at_{k}_base", base, "ratio", reasons)
        rows.add(f"pass_at_{k}_plus", plus, "ratio", reasons)
