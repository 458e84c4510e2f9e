"""Why a cell, its energy or its pass@1 must not be believed: reason codes, each with the figure behind it.

Everything is computed from the raw files again. Reasons have a scope: ``cell`` spoils every row of a cell,
``energy`` those that hold joules or watts, ``accuracy`` those that hold pass@1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from analysis.arrays import floats
from analysis.energy.boundary import MIN_SAMPLES, BoundaryEnergy
from analysis.requests.columns import Requests, replays_lengths
from analysis.requests.latency import Latencies
from analysis.requests.window import Window, rise_of

Scope = Literal["cell", "energy", "accuracy"]

LAG_BOUND_MS = 15.0  # p99 lag up to which a generator's error stays small (measured against a known server)
LAG_SHARE = 0.05  # ... or this share of the median latency, where that is more
RATE_BOUND = 0.99
MIN_S_SLACK = 0.02  # the runner ends a pass by its own clock: this much below min_s is still whole

OLDER_GRADER = "graded_by_older"

EXPLANATIONS = {
    "generator_lagged": "The load generator sent requests late: p99 of sent - scheduled is above its bound.",
    "rate_not_reached": "Requests went out at less than 99 % of the scheduled rate.",
    "window_too_short": f"The window holds fewer than {MIN_SAMPLES} power readings, or is shorter than a study says.",
    "not_steady": "Power, tokens, clock or temperature went one way through the window: its mean stands for no state.",
    "drift": "Joules, watts or rates of this load went one way from block to block.",
    "counter_disagrees": "Energy counter and integrated power differ by more than 5 % and three standard errors.",
    "aliased": "Power may have kept in step with the sensor's own period: its readings see one phase of it.",
    "counter_backwards": "The energy counter went backwards (or began anew), and no power of its own stands beside it.",
    "counter_jumped": "The energy counter ran faster than any plausible power.",
    "counter_silent": "The energy counter stood still while power was drawn.",
    "power_gap": "The power trace has a hole in the window, or does not reach its edges.",
    "power_impossible": "A reading is negative, or above what the device can draw (three times its power limit).",
    "power_zero": "Every power reading of the window is zero.",
    "power_limit_changed": "The device's power limit was changed while it was measured.",
    "power_stuck": "The power readings never moved, from idle into the load and out of it: the sensor stands still.",
    "gain_unknown": "How far the meter's joules are from true ones is not known.",
    "gpu_shared": "A process that is not the engine's was on the GPU: its energy is in the figures.",
    "engine_not_metered": "The engine computed on a board that was not metered, or on none that was.",
    "exclusivity_unknown": "Whose processes are on the GPU could not be seen (a container hides them).",
    "not_cooled": "Before its engine start the GPU was warmer, or drew more, than before others, for all the waiting.",
    "board_not_held": "A board was not at the power limit or clock that the study had set, or did not show it.",
    "throttled": "Heat or the power supply held the GPU's clocks down.",
    "client_cpu": "Load generator and sidecar took more than 5 % of the CPUs whose energy this is.",
    "residents_busy": "The study's other engines, loaded and asked nothing, took more than 5 % of the CPUs.",
    "no_power": "There are no power readings.",
    "no_idle": "There is no idle phase with power readings, so idle and net are not known.",
    "clock_uncertain": "Requests and power were recorded by clocks whose offset is not known well enough.",
    "prefix_cache_hit": "Parts of prompts came from the prefix cache: later passes are cheaper.",
    "preempted": "The engine preempted requests in the window: it did some work twice.",
    "errors": "Measured requests failed.",
    "bad_times": "Requests ended before they were sent, or their first token lies outside their life.",
    "tokens_unknown": "The server did not say how many tokens a request had.",
    "no_completed_request": "No measured request completed, so there is no window.",
    "sandbox_missing": "Completions were not graded: bubblewrap is not installed.",
    "random_weights": "The model's weights are random: it has learnt nothing that could be graded.",
    "untested_family": "Nobody tried this family of models here: see that its answers are what they should be.",
    "code_not_run": "The checkpoint names code of its own, which was left alone: a class of the engine's served it.",
    "no_tests": "The prompts came without tests, so that no answer can be graded.",
    "made_up_prompts": "The prompts were made up to recorded lengths, so that no answer can be graded.",
    "lengths_not_kept": "Prompts or answers were not as long as the recording that was replayed.",
    "not_graded": "Completions have not been graded (yet): starwatt grade.",
    OLDER_GRADER: "An older grader than this starwatt's judged the answers: starwatt grade judges them again.",
    "solution_unknown": "Which tokens belong to the code that was graded is not known: starwatt grade, or no counts.",
    "not_positive": "A value is zero or below (net of idle), so it has no ratio.",
    "no_rate_holds": "At no rate, or not even one at a time, were enough requests good: there is none to measure at.",
    "rate_not_confirmed": "No long window confirmed that the rate holds before the search was over (search_for_s).",
    "rate_at_least": "No rate failed: the load generator was late, or most_qps or the time was reached before.",
    "none_in_slo": "No request kept the study's slo: joules per request within it do not exist.",
    "several_samples": "McNemar's test takes one sample of each task.",
    "too_few_loads": "A curve over concurrency takes three loads of different concurrency.",
    "no_crossover": "One of the two costs less at every concurrency that was measured.",
    "several_crossovers": "The two costs cross more than once over the concurrencies that were measured.",
    "beyond_measured": "The interval reaches beyond the concurrencies that were measured.",
    "phase_speculation": "Speculation makes several tokens a step: phase does not hold, in_flight and tokens do.",
    "phase_not_identified": "The loads do not tell the cost of a step, a token and a prompt apart: it takes probes.",
    "imported": "Another program measured this: what it says of its requests is taken for true.",
    "lag_unknown": "Nothing says when requests were due, nor how late they were: latency counts from their sending.",
    "chunks_unknown": "Nothing says when each piece of an answer came: there is no time between tokens.",
    "engine_unseen": "Nobody watched the engine: its version, preemptions, cache hits and boards are not known.",
    "cut_off": "Requests were cut off, and nothing says after how many tokens: they took joules and count for nothing.",
    "none_solved": "No task was solved: joules per solved task do not exist.",
    "trace_damaged": "A trace of the cell is missing or cannot be read.",
    "not_available": "The device or the server does not offer it, or there was nothing to compute it from.",
    "not_measured": "The plan has this cell, but it is not finished.",
    "too_few_blocks": "Below three blocks there is no interval.",
    "blocks_agree": "All blocks give the same value: how far such values scatter, and so an interval, is not known.",
    "no_valid_block": "No block has both sides of the comparison valid.",
    "nodes_differ": "Blocks whose two sides ran on different nodes were left out of the comparison.",
    "node_confounded": "What is compared ran on different nodes: the ratio holds their difference too.",
    "neighbours_disturb": "The same cell took measurably more or less beside others than alone.",
    "neighbours_idle": "In every block others were measured for less than half of the cell's window.",
    "one_engine_start": "Each variant had a single engine start: how much starts differ is not known.",
    "too_few_starts": "Each variant had two engine starts: how much starts differ is not known well enough.",
}
_OF_ENERGY = (
    "drift", "counter_disagrees", "aliased", "counter_backwards", "counter_jumped", "counter_silent", "power_gap",
    "no_power", "power_impossible", "power_zero", "power_stuck", "power_limit_changed", "clock_uncertain", "not_cooled",
    "engine_not_metered",
)  # fmt: skip
UNGRADABLE = ("made_up_prompts", "random_weights", "no_tests")
"""What the runner knows beforehand: there is nothing that a grader could judge."""
_OF_ACCURACY = (*UNGRADABLE, "sandbox_missing", "not_graded")
_SCOPES: dict[str, Scope] = {
    **dict.fromkeys(_OF_ENERGY, "energy"),
    **dict.fromkeys(_OF_ACCURACY, "accuracy"),
}
RECOMPUTED = frozenset(EXPLANATIONS) - {*UNGRADABLE, "sandbox_missing", "not_cooled"}
"""What the runner says of these is not taken over."""
_PAIRS = (("asked_prompt_tokens", "prompt_tokens"), ("asked_output_tokens", "output_tokens"))


def in_words(code: str, problem: str | None = None) -> str:
    """Say a reason to a person: the words first (``problem`` where there is one), the code in brackets."""
    words = (problem or EXPLANATIONS.get(code, "")).rstrip(".")
    return f"{words} ({code})" if words else code


@dataclass(frozen=True)
class Check:
    """One reason code, tested: ``failed`` or not, by which figure, against which bounds."""

    code: str
    failed: bool
    value: float | None
    unit: str
    lo: float | None = None  # allowed from
    hi: float | None = None  # allowed up to
    noted: bool = False  # something to know, which spoils nothing


def scope_of(code: str) -> Scope:
    """Say what a reason code spoils; a code unknown here (a newer runner's) spoils the whole cell."""
    return _SCOPES.get(code, "cell")


def reasons_for(scope: Scope, codes: Iterable[str]) -> list[str]:
    """Return the codes that spoil a row of ``scope``: its own and those of the whole cell, sorted."""
    return sorted({code for code in codes if scope_of(code) in {scope, "cell"}})


def noted_checks(codes: Iterable[str]) -> list[Check]:
    """Return what the runner notes of what was served, and what spoils nothing."""
    return [Check(code, False, None, "", noted=True) for code in codes]


def request_checks(
    requests: Requests,
    latency: Latencies,
    *,
    is_open: bool,
    is_capped: bool = False,
    prefix_cache: bool = False,
    may_fail: bool = False,
) -> list[Check]:
    """Check what takes the requests alone; lag is judged for open loads only, and rates where nothing caps them.

    With ``prefix_cache`` the study asks that prompts be reused, and hits are noted. With ``may_fail`` requests that
    failed are a part of what was looked for, and are noted.
    """
    measured = requests.measured
    failed = float((measured & ~requests.ok).sum())
    cached = float(np.nansum(requests.cached_tokens)) if np.isfinite(requests.cached_tokens).any() else None
    misordered = float(requests.misordered.sum())
    # Each pass over a recording has prompts of its own: no later one is cheaper.
    as_recorded = bool(cached) and replays_lengths(requests)
    checks = [
        Check("errors", failed > 0 and not may_fail, failed, "requests", hi=0.0, noted=failed > 0),
        Check("bad_times", misordered > 0, misordered, "requests", hi=0.0),
        Check(
            "prefix_cache_hit",
            bool(cached) and not prefix_cache and not as_recorded,
            cached,
            "tokens",
            hi=0.0,
            noted=bool(cached),
        ),
    ]
    open_checks = _open_checks(requests, latency) if is_open else []
    return checks + [check for check in open_checks if not (is_capped and check.code == "rate_not_reached")]


def _open_checks(requests: Requests, latency: Latencies) -> list[Check]:
    rows = requests.measured & requests.timed & requests.due_known
    if int(rows.sum()) < 2:
        return []
    lag_ms = float(np.percentile(latency.dispatch_lag_ms[rows], 99))
    typical = latency.e2e_ms[requests.completed]
    bound_ms = max(LAG_BOUND_MS, LAG_SHARE * float(np.median(typical))) if typical.size else LAG_BOUND_MS
    offered_ns = float(np.ptp(requests.scheduled_ns[rows]))
    sent_ns = float(np.ptp(requests.sent_ns[rows]))
    reached = 1.0 if sent_ns <= offered_ns else offered_ns / sent_ns
    return [
        Check("generator_lagged", lag_ms > bound_ms, lag_ms, "ms", hi=bound_ms),
        Check("rate_not_reached", reached < RATE_BOUND, reached, "ratio", lo=RATE_BOUND),
    ]


def window_check(window: Window, min_s: float | None) -> Check:
    """Check that the window is as long as the study asked for."""
    bound = None if min_s is None else min_s * (1 - MIN_S_SLACK)
    return Check(
        "window_too_short", bound is not None and window.seconds < bound, window.seconds, "s", lo=bound
    )


def engine_check(engine: pa.Table, window: Window) -> Check:
    """Check whether the engine's count of preemptions rose between the last reading before and first after."""
    rose = rise_of(engine, "preemptions_total", window)
    return Check("preempted", bool(rose), rose, "requests", hi=0.0)


def energy_checks(energy: BoundaryEnergy) -> list[Check]:
    """Check one (boundary, source) over the window."""
    bound_s = max(device.series.gap_bound_s for device in energy.devices)
    disagrees = "counter_disagrees" in energy.reasons
    samples, few = float(energy.samples), energy.samples < MIN_SAMPLES
    allowed = energy.disagreement_bound
    checks = [
        Check("power_gap", "power_gap" in energy.reasons, energy.gap_s, "s", hi=bound_s),
        Check("counter_disagrees", disagrees, energy.disagreement, "ratio", -allowed, allowed),
        Check("window_too_short", few, samples, "samples", lo=float(MIN_SAMPLES)),
        *_alias_checks(energy),
    ]
    named = {check.code for check in checks if check.failed}
    return checks + [Check(code, True, None, "") for code in energy.reasons if code not in named]


def _alias_checks(energy: BoundaryEnergy) -> list[Check]:
    """Check the device that is worst off; nothing where no sensor could alias."""
    looked = [device.aliasing for device in energy.devices if device.aliasing is not None]
    if not looked:
        return []
    worst = max(looked, key=lambda aliasing: (aliasing.found, aliasing.figure[0] or 0.0))
    value, bound = worst.figure
    return [Check("aliased", worst.found, value, "ratio", hi=bound)]


def length_checks(requests: Requests) -> Iterator[Check]:
    """Yield a note with the number of completed requests of other lengths; nothing where no lengths were asked for."""
    if not replays_lengths(requests):
        return
    table = requests.trace.read([name for pair in _PAIRS for name in pair])
    differ = np.zeros(requests.count, dtype=bool)
    for asked, served in _PAIRS:
        counted = floats(table, served)
        differ |= np.isfinite(counted) & (counted != floats(table, asked))
    count = float((differ & requests.completed).sum())
    yield Check("lengths_not_kept", False, count, "requests", hi=0.0, noted=count > 0)
