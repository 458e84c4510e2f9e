"""The rows of ``tables/cells``: one a metric, with its unit, interval, validity and reasons."""

from __future__ import annotations

import numpy as np

from analysis.accuracy.score_interval import score_interval
from analysis.arrays import mean
from analysis.cells.cell import CellResult, Measured
from analysis.cells.energy_metrics import energy_rows
from analysis.cells.rows import Row, Rows, ratio
from analysis.cells.speculation import draft_rows
from analysis.requests.latency import latency_spreads
from analysis.validity.objective import judged
from analysis.validity.reasons import reasons_for
from configs.loads import is_probe
from traces.board import BoardHeld
from traces.rate import RateFound


def cell_rows(result: CellResult) -> list[Row]:
    """Return all metrics of one cell; a cell without a window has ``window_s`` alone, null, with the reasons."""
    rows = Rows(result.key)
    reasons = reasons_for("cell", result.codes)
    measured = result.measured
    if result.record is not None and result.record.rate is not None:
        _highest_rate(rows, result, result.record.rate)
    if measured is None:
        rows.add("window_s", None, reasons)
        for check in result.checks:
            rows.add_check(check)
        return rows.rows
    _throughput(rows, measured, reasons)
    draft_rows(rows, result.drafts, reasons)
    _latency(rows, measured, reasons, result.unknown)
    if not is_probe(result.key.load):
        _accuracy(rows, result, measured)
    if result.record is not None:
        audit = result.record.audit
        rows.add("client_cpu_share", audit.cpu_share, [])
        rows.add("sidecar_cpu_share", audit.sidecar_cpu_share, [])
        if audit.residents_cpu_share is not None:
            rows.add("residents_cpu_share", audit.residents_cpu_share, [])
        if result.record.board is not None:
            _boards(rows, result.record.board)
    for name, line in result.trends.found.items():
        rows.add(f"trend_{name}", line.change, [])
        rows.add(f"trend_{name}_p", line.p, [])
    for check in result.checks:
        rows.add_check(check)
    idle_w, why = result.idle_boards
    if idle_w is not None:
        rows.add("node_idle_boards_w", idle_w, why)
    for energy in result.energies:
        energy_rows(rows, result, measured, energy)
    if not result.energies:
        spoiled = [*reasons, *result.energy_reasons]
        rows.add("energy_gross_j", None, spoiled)
        rows.add("j_per_request", None, spoiled)
    return rows.rows


_OF_THE_RATE = (
    "no_rate_holds",
    "rate_not_confirmed",
    "rate_at_least",
    "generator_lagged",
    "rate_not_reached",
)
"""What spoils the rate that was found; other reasons of a cell spoil its joules alone."""


def _highest_rate(rows: Rows, result: CellResult, rate: RateFound) -> None:
    """What the search found; a rate is none, where it is at least that."""
    why = [
        check.code for check in result.checks if check.code in _OF_THE_RATE and (check.failed or check.noted)
    ]
    rows.add("rate_found", rate.rate, why, bounds=(rate.lo, rate.hi), kind="search")
    if result.measured is not None:
        judgement = judged(rate, result.measured.requests)
        rows.add(
            "good_share",
            judgement.share,
            reasons_for("cell", result.codes),
            bounds=(judgement.lo, judgement.hi),
            kind="requests",
        )


def _boards(rows: Rows, held: BoardHeld) -> None:
    limits = [board.power_limit_w for board in held.boards.values() if board.power_limit_w is not None]
    clocks = [board.locked_mhz for board in held.boards.values() if board.locked_mhz is not None]
    rows.add("board_power_limit_w", mean(np.array(limits, dtype=np.float64)), [])
    if clocks:
        rows.add("board_locked_clock_mhz", mean(np.array(clocks, dtype=np.float64)), [])


def _throughput(rows: Rows, measured: Measured, reasons: list[str]) -> None:
    share, completed = measured.share, measured.requests.completed
    finished = np.asarray(measured.requests.column("finish_reason").to_numpy())[completed]
    told = np.array([reason is not None for reason in finished], dtype=np.bool_)
    tokens = share.output_tokens
    values = {
        "window_s": measured.window.seconds,
        "requests_completed": float(completed.sum()),
        "requests_in_window": share.requests,
        "output_tokens_in_window": tokens,
        "tokens_per_request": ratio(tokens, share.requests),
        "request_rate": measured.rated.request_rate,
        "output_token_rate": measured.rated.output_token_rate,
        "finish_length_share": mean((finished[told] == "length").astype(np.float64)),
    }
    for name, value in values.items():
        rows.add(name, value, reasons)
    requests = measured.requests
    known = completed & np.isfinite(requests.cached_tokens) & np.isfinite(requests.prompt_tokens)
    if known.any():
        cached, prompts = (float(of[known].sum()) for of in (requests.cached_tokens, requests.prompt_tokens))
        rows.add("prompt_cached_share", ratio(cached, prompts), reasons)


_TOLD_BY = {"dispatch_lag": "lag_unknown", "itl": "chunks_unknown"}
"""Why an imported cell may lack a latency."""


def _latency(rows: Rows, measured: Measured, reasons: list[str], unknown: frozenset[str]) -> None:
    for name, spread in latency_spreads(measured.requests, measured.latency, measured.itl_ms).items():
        why = unknown & {_TOLD_BY.get(name, "")}
        for statistic, value in spread.items():
            rows.add(f"{name}_{statistic}_ms", value, [*reasons, *why])


def _accuracy(rows: Rows, result: CellResult, measured: Measured) -> None:
    accuracy = measured.accuracy
    reasons = reasons_for("accuracy", [*result.codes, *filter(None, [accuracy.reason])])
    for kind, passed in (("base", accuracy.base_passed), ("plus", accuracy.plus_passed)):
        share = accuracy.mean_share(passed)
        bounds = None if share is None else score_interval(passed / accuracy.samples, 0.0, 1.0)
        rows.add(f"pass_at_1_{kind}", share, reasons, bounds=bounds, kind="tasks")
    _outside(rows, measured, reasons)
    for k in accuracy.ks[1:] if result.sampled else ():
        for kind, value in zip(("base", "plus"), accuracy.pass_at(k), strict=True):
            rows.add(f"pass_at_{k}_{kind}", value, reasons)


def _outside(rows: Rows, measured: Measured, reasons: list[str]) -> None:
    """The share of tokens that are not the code's; nothing where answers cannot be graded at all."""
    if measured.outside is None:
        return
    outside = measured.outside
    why = reasons if outside.all_tokens else [*reasons, "solution_unknown"]
    rows.add("tokens_outside_solution_share", ratio(outside.tokens, outside.all_tokens), why)
