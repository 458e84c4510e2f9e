"""The rows of ``tables/cells`` that hold joules or watts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from analysis.accuracy.outside import Outside
from analysis.arrays import Bools, percentiles
from analysis.attribution.rules import Attribution
from analysis.cells.cell import CellResult, Measured
from analysis.cells.rows import Z95, Rows, ratio
from analysis.energy.boundary import BoundaryEnergy
from analysis.energy.device import scaled
from analysis.requests.latency import kept_slo, slo_share
from analysis.validity.reasons import energy_checks, reasons_for
from configs.loads import is_probe


def energy_reasons(result: CellResult, energy: BoundaryEnergy) -> list[str]:
    """Say why joules of this boundary in this cell are not to be trusted."""
    return sorted({*reasons_for("energy", result.codes), *result.energy_codes(energy)})


class _Part(NamedTuple):
    """Joules of a window, and how many fewer or more they may be; None: not known."""

    name: str
    joules: float | None
    below_j: float | None
    above_j: float | None
    kind: str  # of that interval


def energy_rows(rows: Rows, result: CellResult, measured: Measured, energy: BoundaryEnergy) -> None:
    """Return all metrics of one boundary and source: gross, idle, net, and by everything that joules are divided by."""
    seconds, reasons = measured.window.seconds, energy_reasons(result, energy)
    for part in _parts(energy, seconds):
        no_idle = ["no_idle"] if part.name != "gross" and energy.idle_before_w is None else []
        _divided(rows, part, measured, energy, [*reasons, *no_idle])
    _per(rows, result, measured, energy, reasons)
    rows.add("power_mean_w", ratio(energy.energy_j, seconds), reasons, energy=energy)
    for name, watts in (("power_idle_w", energy.idle_before_w), ("power_idle_after_w", energy.idle_after_w)):
        rows.add(name, watts, [] if watts is not None else ["no_idle"], energy=energy)
    faults = energy.counter_faults
    rows.add("energy_counter_j", energy.counter_j, faults, energy=energy, error=energy.counter_error_j)
    rows.add("energy_integral_j", energy.integral_j, [], energy=energy, error=energy.integral_error_j)
    _gain(rows, energy)
    rows.add("counter_integral_disagreement", energy.disagreement, [], energy=energy)
    if not is_probe(result.key.load):
        _solved(rows, result, measured, energy, reasons)
    elsewhere = [result.elsewhere] if result.elsewhere is not None and energy.source == "nvml" else []
    for check in (*energy_checks(energy), *elsewhere):
        rows.add_check(check, energy)
    if result.client is not None and energy.source == "rapl":
        rows.add_check(result.client, energy)
    if energy is result.primary:
        _attributed(rows, result, measured, energy, reasons)


def _attributed(
    rows: Rows, result: CellResult, measured: Measured, energy: BoundaryEnergy, reasons: list[str]
) -> None:
    """What the rules that need this cell alone say of its requests, and of the tokens outside of their code."""
    for rule, split in sorted(result.attributions.items()):
        attributed_rows(rows, rule, split, measured.requests.measured, energy, reasons)
    if measured.outside is not None and "tokens" in result.attributions:
        _outside(rows, measured, energy, reasons)


def _parts(energy: BoundaryEnergy, seconds: float) -> tuple[_Part, _Part, _Part]:
    """Gross, idle and net.

    Gross is known up to sampling (``measurement``). Idle lies between its power before the cell and that after
    (``idle_before_after``), which is how far it was seen to move, not a probability. Net has both.
    """
    gross_j, before, after = energy.energy_j, energy.idle_before_w, energy.idle_after_w
    half_j, idle_j = scaled(Z95, energy.error_j), scaled(before, seconds)
    moved_j = None if before is None or after is None else (after - before) * seconds
    below_j, above_j = (None, None) if moved_j is None else (max(-moved_j, 0.0), max(moved_j, 0.0))
    net_j = None if gross_j is None or idle_j is None else gross_j - idle_j
    return (
        _Part("gross", gross_j, half_j, half_j, "measurement"),
        _Part("idle", idle_j, below_j, above_j, "idle_before_after"),
        _Part("net", net_j, _sum(half_j, above_j), _sum(half_j, below_j), "measurement_and_idle"),
    )


def _sum(part_j: float | None, other_j: float | None) -> float | None:
    return None if part_j is None or other_j is None else part_j + other_j


def _divided(rows: Rows, part: _Part, measured: Measured, energy: BoundaryEnergy, reasons: list[str]) -> None:
    """A part of the window's joules: all of it, a request's worth, and an output token's."""
    suffix = "" if part.name == "gross" else f"_{part.name}"
    divisors = {
        f"energy_{part.name}_j": 1.0,
        f"j_per_request{suffix}": measured.share.requests,
        f"j_per_output_token{suffix}": measured.share.output_tokens,
    }
    for name, by in divisors.items():
        value, below, above = (ratio(joules, by) for joules in (part.joules, part.below_j, part.above_j))
        bounds = None if value is None or below is None or above is None else (value - below, value + above)
        rows.add(name, value, reasons, energy=energy, bounds=bounds, kind=part.kind)


def _per(
    rows: Rows, result: CellResult, measured: Measured, energy: BoundaryEnergy, reasons: list[str]
) -> None:
    """Gross joules by everything else that they are divided by."""

    def add(name: str, by: float | None, why: list[str], factor: float = 1.0) -> None:
        value, error = (scaled(ratio(joules, by), factor) for joules in (energy.energy_j, energy.error_j))
        rows.add(name, value, why, energy=energy, error=error)

    share, completed = measured.share, float(measured.requests.completed.sum())
    add("j_per_completion", completed, reasons)
    add("wh_per_1000_requests", share.requests, reasons, 1000 / 3600)
    add("j_per_total_token", _total_tokens(measured), reasons)
    if result.slo is None:
        return
    kept = kept_slo(measured.requests, measured.latency, result.slo.bounds_ms)
    rows.add("slo_share", slo_share(measured.requests, measured.latency, result.slo.bounds_ms), reasons)
    good = float(share.share[kept].sum())
    add("j_per_request_in_slo", good, reasons if good else [*reasons, "none_in_slo"])


def _outside(rows: Rows, measured: Measured, energy: BoundaryEnergy, reasons: list[str]) -> None:
    """Joules of tokens outside of the code, by the rule ``tokens``: each token of the window costs the same."""
    assert measured.outside is not None  # noqa: S101 -- the caller has looked
    each_j = ratio(energy.energy_j, measured.share.output_tokens)
    tokens_j = scaled(each_j, measured.outside.tokens)
    outside_rows(rows, "tokens", tokens_j, measured.outside, energy, reasons)


def outside_rows(
    rows: Rows,
    rule: str,
    joules: float | None,
    outside: Outside,
    energy: BoundaryEnergy,
    reasons: Iterable[str],
) -> None:
    """Return joules of tokens outside of the code, a request for which these are known."""
    count = float(outside.known.sum())
    why = [*reasons, *([] if count else ["solution_unknown"])]
    rows.add(f"j_per_request_outside_solution_{rule}", ratio(joules, count), why, energy=energy)


def _total_tokens(measured: Measured) -> float | None:
    """Output tokens that arrived inside, and those of prompts whose first token did; None where some are not known."""
    requests, window = measured.requests, measured.window
    inside = requests.has_first_token & (requests.first_token_ns >= window.start_ns)
    inside &= requests.first_token_ns <= window.end_ns
    prompts = float(requests.prompt_tokens[inside].sum())
    output = measured.share.output_tokens
    return None if output is None or not np.isfinite(prompts) else output + prompts


def _gain(rows: Rows, energy: BoundaryEnergy) -> None:
    """``energy_gain``: true joules over those that are given, as far as it is known; apart from sampling.

    1 stands for joules as they are given (factor and offset of a calibration are in them already). The factor's part is
    the board's, the same in all its cells, and cancels in ratios; the offset's, which stands in watts beside it
    (``energy_gain_offset_w``), weighs more where power is low, and does not.
    """
    if energy.source == "modelled":  # an estimate has no gain
        return
    half = energy.gain_half_width
    value, reasons = (None, ["gain_unknown"]) if half is None else (1.0, [])
    rows.add(
        "energy_gain", value, reasons, energy=energy, bounds=(1 - (half or 0), 1 + (half or 0)), kind="gain"
    )
    if energy.gain_offset_half_w is not None:
        off_w = energy.gain_offset_half_w
        rows.add("energy_gain_offset_w", 0.0, [], energy=energy, bounds=(-off_w, off_w), kind="gain")


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
    rows.add("j_per_solved_task", ratio(per_request, solved), why, energy=energy, error=error)


def attributed_rows(
    rows: Rows,
    rule: str,
    split: Attribution | None,
    is_measured: Bools,
    energy: BoundaryEnergy,
    reasons: Iterable[str],
) -> None:
    """Divide the gross among measured requests, warm-up and filler, and none; and say how the shares spread."""
    of_measured = None if split is None else split.energy_j[is_measured]
    parts = {
        "measured": None if of_measured is None else float(of_measured.sum()),
        "other": None if split is None else float(split.energy_j[~is_measured].sum()),
        "unattributed": None if split is None else split.unattributed_j,
    }
    for name, joules in parts.items():
        rows.add(f"energy_{rule}_{name}_j", joules, reasons, energy=energy)
    spread = percentiles(np.zeros(0) if of_measured is None else of_measured, (10, 50, 90, 99))
    for q, value in spread.items():
        rows.add(f"energy_{rule}_request_p{q}_j", value, reasons, energy=energy)
