"""The rows of ``tables/cells`` that hold joules or watts."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from analysis.arrays import Bools, percentile
from analysis.attribution.rules import Attribution
from analysis.cells.cell import CellResult, Measured
from analysis.cells.rows import Z95, Rows, ratio
from analysis.energy.boundary import BoundaryEnergy
from analysis.validity.reasons import energy_checks, reasons_for
from configs.loads import is_probe
from configs.schema import Slo


def energy_reasons(result: CellResult, energy: BoundaryEnergy) -> list[str]:
    """Why joules of this boundary in this cell are not to be trusted."""
    return sorted({*reasons_for("energy", result.codes), *result.energy_codes(energy)})


def energy_rows(rows: Rows, result: CellResult, measured: Measured, energy: BoundaryEnergy) -> None:
    """All metrics of one boundary and source: gross, idle, net, and by everything that joules are divided by."""
    seconds, share = measured.window.seconds, measured.share
    reasons = energy_reasons(result, energy)
    no_idle = [] if energy.idle_before_w is not None else ["no_idle"]
    gross_j = energy.energy_j
    idle_j = None if energy.idle_before_w is None else energy.idle_before_w * seconds
    net_j = None if gross_j is None or idle_j is None else gross_j - idle_j
    parts = (
        ("", gross_j, reasons),
        ("_idle", idle_j, [*reasons, *no_idle]),
        ("_net", net_j, [*reasons, *no_idle]),
    )

    def add(metric: str, value: float | None, unit: str, why: list[str], error: float | None = None) -> None:
        rows.add(metric, value, unit, why, energy=energy, error=error)

    for (suffix, joules, why), name in zip(parts, ("gross", "idle", "net"), strict=True):
        off = _bounds(energy, seconds, name)
        divided = (("energy_" + name + "_j", 1.0), ("j_per_request" + suffix, share.requests),
                   ("j_per_output_token" + suffix, share.output_tokens))  # fmt: skip
        for metric, by in divided:
            add(metric, ratio(joules, by), "J", why)
            row = rows.rows[-1]
            if row["value"] is not None and off is not None and by:
                row.update(lo=row["value"] - off[0] / by, hi=row["value"] + off[1] / by, interval_kind=off[2])
    _per(rows, result, measured, energy, reasons)
    add("power_mean_w", ratio(gross_j, seconds), "W", reasons)
    add("power_idle_w", energy.idle_before_w, "W", no_idle)
    add(
        "power_idle_after_w", energy.idle_after_w, "W", [] if energy.idle_after_w is not None else ["no_idle"]
    )
    faults = list(energy.counter_faults)
    add("energy_counter_j", energy.counter_j, "J", faults, energy.counter_error_j)
    add("energy_integral_j", energy.integral_j, "J", [], energy.integral_error_j)
    _gain(rows, energy)
    add("counter_integral_disagreement", energy.disagreement, "ratio", [])
    if not is_probe(result.key.load):
        _solved(rows, result, measured, energy, reasons)
    elsewhere = [result.elsewhere] if result.elsewhere is not None and energy.source == "nvml" else []
    for check in (*energy_checks(energy), *elsewhere):
        rows.add_check(check, energy)
    if result.client is not None and energy.source == "rapl":
        rows.add_check(result.client, energy)
    if energy is result.primary:
        for rule, split in sorted(result.attributions.items()):
            attributed_rows(rows, rule, split, measured.requests.measured, energy, reasons)


def _bounds(energy: BoundaryEnergy, seconds: float, part: str) -> tuple[float, float, str] | None:
    """How many joules below and above a part of the window's may be, and the interval's kind; None: not known.

    Gross: sampling (``measurement``). Idle: from its power before the cell to that after (``idle_before_after``), which
    is how far it was seen to move, not a probability. Net: both (``measurement_and_idle``).
    """
    half = None if energy.error_j is None else Z95 * energy.error_j
    if part == "gross":
        return None if half is None else (half, half, "measurement")
    before, after = energy.idle_before_w, energy.idle_after_w
    if before is None or after is None:
        return None
    moved_j = (after - before) * seconds
    below, above = max(-moved_j, 0.0), max(moved_j, 0.0)
    if part == "idle":
        return below, above, "idle_before_after"
    return None if half is None else (half + above, half + below, "measurement_and_idle")


def _per(
    rows: Rows, result: CellResult, measured: Measured, energy: BoundaryEnergy, reasons: list[str]
) -> None:
    """Gross joules by everything else that they are divided by."""

    def add(metric: str, by: float | None, unit: str, why: list[str], factor: float = 1.0) -> None:
        value, error = (ratio(joules, by) for joules in (energy.energy_j, energy.error_j))
        scaled = [None if one is None else one * factor for one in (value, error)]
        rows.add(metric, scaled[0], unit, why, energy=energy, error=scaled[1])

    share = measured.share
    add("j_per_completion", float(measured.requests.completed.sum()), "J", reasons)
    add("wh_per_1000_requests", share.requests, "Wh", reasons, 1000 / 3600)
    add("j_per_total_token", _total_tokens(measured), "J", reasons)
    if result.slo is None:
        return
    kept = kept_slo(measured, result.slo)
    rows.add(
        "slo_share", ratio(float(kept.sum()), float(measured.requests.completed.sum())), "ratio", reasons
    )
    good = float(measured.share.share[kept].sum())
    add("j_per_request_in_slo", good, "J", [*reasons, *(["none_in_slo"] if good == 0 else [])])


def _total_tokens(measured: Measured) -> float | None:
    """Output tokens that arrived inside, and those of prompts whose first token did; None where some are not known."""
    requests, window = measured.requests, measured.window
    inside = requests.has_first_token & (requests.first_token_ns >= window.start_ns)
    inside &= requests.first_token_ns <= window.end_ns
    prompts = float(requests.prompt_tokens[inside].sum())
    output = measured.share.output_tokens
    return None if output is None or not np.isfinite(prompts) else output + prompts


def kept_slo(measured: Measured, slo: Slo) -> Bools:
    """Completed measured requests that kept every bound (n,); an answer of one token has no time between tokens."""
    latency, requests = measured.latency, measured.requests
    kept = requests.completed.copy()
    for bound_ms, values in ((slo.ttft_ms, latency.ttft_ms), (slo.e2e_ms, latency.e2e_ms)):
        if bound_ms is not None:
            kept &= values <= bound_ms
    if slo.tpot_ms is not None:
        kept &= (requests.output_tokens <= 1) | (latency.tpot_ms <= slo.tpot_ms)
    return kept


def _gain(rows: Rows, energy: BoundaryEnergy) -> None:
    """``energy_gain``: true joules over those that are given, as far as it is known; apart from sampling.

    1 stands for joules as they are given (factor and offset of a calibration are in them already). The factor's part is
    the board's, the same in all its cells, and cancels in ratios; the offset's, which stands in watts beside it
    (``energy_gain_offset_w``), weighs more where power is low, and does not.
    """
    if energy.source == "modelled":  # an estimate has no gain
        return
    half = energy.gain_half_width
    rows.add(
        "energy_gain",
        None if half is None else 1.0,
        "ratio",
        ["gain_unknown"] * (half is None),
        energy=energy,
    )
    if half is not None:
        rows.rows[-1].update(lo=1 - half, hi=1 + half, interval_kind="gain")
    if energy.gain_offset_half_w is not None:
        off_w = energy.gain_offset_half_w
        rows.add("energy_gain_offset_w", 0.0, "W", [], energy=energy)
        rows.rows[-1].update(lo=-off_w, hi=off_w, interval_kind="gain")


def _solved(
    rows: Rows, result: CellResult, measured: Measured, energy: BoundaryEnergy, reasons: list[str]
) -> None:
    """Gross joules per measured request over pass@1 (plus): what one solved task costs."""
    accuracy = measured.accuracy
    why = [*reasons, *reasons_for("accuracy", [*result.codes, *filter(None, [accuracy.reason])])]
    per_request, solved = ratio(energy.energy_j, measured.share.requests), accuracy.pass_at_1_plus
    if solved == 0:
        why.append("none_solved")
    error = ratio(ratio(energy.error_j, measured.share.requests), solved)
    rows.add("j_per_solved_task", ratio(per_request, solved), "J", why, energy=energy, error=error)


def attributed_rows(
    rows: Rows,
    rule: str,
    split: Attribution | None,
    is_measured: Bools,
    energy: BoundaryEnergy,
    reasons: Iterable[str],
) -> None:
    """Joules of measured requests, of warm-up and filler, and of none, which sum to the gross; and how they spread."""
    of_measured = None if split is None else split.energy_j[is_measured]
    parts = {
        "measured": None if of_measured is None else float(of_measured.sum()),
        "other": None if split is None else float(split.energy_j[~is_measured].sum()),
        "unattributed": None if split is None else split.unattributed_j,
    }
    for name, joules in parts.items():
        rows.add(f"energy_{rule}_{name}_j", joules, "J", reasons, energy=energy)
    for q in (10, 50, 90, 99):
        spread = None if of_measured is None else percentile(of_measured, q)
        rows.add(f"energy_{rule}_request_p{q}_j", spread, "J", reasons, energy=energy)
