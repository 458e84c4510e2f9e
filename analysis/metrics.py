"""Every metric of the tables: its unit, what it is called, how it is computed, of which boundary, and which way is better.

Tables, report, compare and docs/reference/metrics.md take units and words from here. A name such as
``ttft_<statistic>_ms`` stands for several: what ``<statistic>`` may be is in ``PLACES``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

PLACES = {
    "statistic": ("mean", "p50", "p90", "p99"),
    "percentile": ("p10", "p50", "p90", "p99"),
    "rule": ("in_flight", "tokens", "phase"),
    "of_tokens": ("tokens", "phase"),
    "k": ("1", "2", "…"),
    "trend": ("power", "tokens", "sm_clock", "temperature"),
    "drifting": ("j_per_request", "power_mean_w", "request_rate"),
    "tested": ("energy_factor", "j_per_request_ratio", "rate_found_ratio"),
    "side": ("single", "batched"),
}
_MANY = {place: "|".join(names) for place, names in PLACES.items()} | {"k": r"\d+"}


@dataclass(frozen=True)
class Metric:
    """One figure of a table, or several of one kind."""

    name: str
    unit: str
    label: str
    formula: str
    each_boundary: bool = False  # a row a (boundary, source); else one that has none
    better: Literal["lower", "higher"] | None = None  # None: neither, or it depends

    @property
    def titled(self) -> str:
        """Give the label with its unit, where the label does not say it."""
        return f"{self.label}, ms" if self.unit == "ms" else self.label


@cache
def metric(name: str) -> Metric:
    """Look up a metric; raises ``KeyError`` for a name that is not here."""
    for known in (known for metrics in METRICS.values() for known in metrics):
        pattern = re.sub(r"<(\w+)>", lambda place: f"(?P<{place[1]}>{_MANY[place[1]]})", known.name)
        if named := re.fullmatch(pattern, name):
            label = known.label
            for place, chosen in named.groupdict().items():
                label = label.replace(f"<{place}>", chosen)
            unit = "°C" if name == "trend_temperature" else known.unit
            return replace(known, name=name, label=label, unit=unit)
    raise KeyError(name)


# fmt: off
_LOWER: Literal["lower"] = "lower"
_HIGHER: Literal["higher"] = "higher"
_THROUGHPUT = (
    Metric("window_s", "s", "window", "end of the last measured request - first measured one's being sent"),
    Metric("requests_completed", "requests", "completed", "measured requests that ended well"),
    Metric("requests_in_window", "requests", "requests", "sum over requests of the share of their output tokens inside the window"),
    Metric("output_tokens_in_window", "tokens", "output tokens", "output tokens that arrived inside the window"),
    Metric("tokens_per_request", "tokens", "tokens/request", "output_tokens_in_window / requests_in_window"),
    Metric("node_idle_boards_w", "W", "idle boards", "mean power of the node's visible boards that are not the engine's"),
    Metric("rate_found", "requests/s", "highest rate", "the highest rate at which enough of the offered requests were good; its interval: from there to the lowest that failed, and chance in arrivals", better=_HIGHER),
    Metric("good_share", "ratio", "good of those offered", "measured requests that ended well and kept every bound / measured requests; of a load that looks for its rate", better=_HIGHER),
    Metric("request_rate", "requests/s", "requests/s", "requests_in_window / window_s; of an open load over at least N mean gaps for N requests", better=_HIGHER),
    Metric("output_token_rate", "tokens/s", "tokens/s", "output_tokens_in_window / window_s; of an open load as request_rate", better=_HIGHER),
    Metric("finish_length_share", "ratio", "cut off by length", "completed requests with finish_reason length / completed"),
    Metric("prompt_cached_share", "ratio", "prompt tokens from the cache", "prompt tokens from the prefix cache / prompt tokens, completed requests where both are known", better=_HIGHER),
    Metric("draft_accepted_share", "ratio", "drafted tokens kept", "accepted / drafted tokens, by the engine's counters from just before the window to just after", better=_HIGHER),
    Metric("tokens_per_draft", "tokens", "tokens a draft", "1 + accepted tokens / drafts, by the same counters", better=_HIGHER),
    Metric("client_cpu_share", "cpus", "load generator's CPUs", "CPU time of the load generator / wall time"),
    Metric("sidecar_cpu_share", "cpus", "sidecar's CPUs", "CPU time of the power sidecar / wall time"),
    Metric("residents_cpu_share", "cpus", "idle engines' CPUs", "CPU time of engines loaded beside it / wall time"),
    Metric("trend_<trend>", "ratio", "trend of <trend>", "change along a line from the window's start to its end; of a temperature in °C"),
    Metric("trend_<trend>_p", "probability", "p of the trend of <trend>", "probability of such a trend where there is none"),
)
_BOARDS = (
    Metric("board_power_limit_w", "W", "power limit", "what the engine's boards were limited to, as they showed: mean over boards; where a study sets them"),
    Metric("board_locked_clock_mhz", "MHz", "locked clock", "the clock that they were locked at; where a study locks it"),
)
_LATENCY = (
    Metric("ttft_<statistic>_ms", "ms", "TTFT <statistic>", "first token - scheduled, completed requests", better=_LOWER),
    Metric("tpot_<statistic>_ms", "ms", "TPOT <statistic>", "(end - first token) / (output tokens - 1), completed requests", better=_LOWER),
    Metric("itl_<statistic>_ms", "ms", "ITL <statistic>", "gap before each token after a request's first chunk", better=_LOWER),
    Metric("e2e_<statistic>_ms", "ms", "e2e <statistic>", "end - scheduled, completed requests", better=_LOWER),
    Metric("dispatch_lag_<statistic>_ms", "ms", "dispatch lag <statistic>", "sent - scheduled, less the wait for a place of a capped load", better=_LOWER),
)
_ACCURACY = (
    Metric("pass_at_<k>_base", "ratio", "pass@<k> base", "mean over tasks: share of samples that passed the base tests; unbiased for k above 1", better=_HIGHER),
    Metric("pass_at_<k>_plus", "ratio", "pass@<k> base and plus", "the same of base and plus tests", better=_HIGHER),
    Metric("tokens_outside_solution_share", "ratio", "tokens outside the code", "output tokens outside of the code that was graded (words, fences, what comes after, reasoning) / output tokens, of completed requests where both are known", better=_LOWER),
)
_ENERGY = (
    Metric("energy_gross_j", "J", "J, gross", "joules of the window: the counter's, else integrated power", True, _LOWER),
    Metric("energy_idle_j", "J", "J, idle", "power_idle_w x window_s", True, _LOWER),
    Metric("energy_net_j", "J", "J, net", "energy_gross_j - energy_idle_j", True, _LOWER),
    Metric("j_per_request", "J", "J/request", "energy_gross_j / requests_in_window", True, _LOWER),
    Metric("j_per_request_idle", "J", "J/request, idle", "energy_idle_j / requests_in_window", True, _LOWER),
    Metric("j_per_request_net", "J", "J/request, net", "energy_net_j / requests_in_window", True, _LOWER),
    Metric("j_per_output_token", "J", "J/output token", "energy_gross_j / output_tokens_in_window", True, _LOWER),
    Metric("j_per_output_token_idle", "J", "J/output token, idle", "energy_idle_j / output_tokens_in_window", True, _LOWER),
    Metric("j_per_output_token_net", "J", "J/output token, net", "energy_net_j / output_tokens_in_window", True, _LOWER),
    Metric("j_per_completion", "J", "J/completion", "energy_gross_j / requests_completed", True, _LOWER),
    Metric("wh_per_1000_requests", "Wh", "Wh/1000 requests", "j_per_request x 1000 / 3600", True, _LOWER),
    Metric("j_per_total_token", "J", "J/token, prompts too", "energy_gross_j / (output tokens + tokens of prompts whose first token came inside)", True, _LOWER),
    Metric("j_per_solved_task", "J", "J/solved task", "j_per_request / pass_at_1_plus", True, _LOWER),
    Metric("slo_share", "ratio", "kept the slo", "completed requests that kept every bound of the study's slo / completed", better=_HIGHER),
    Metric("j_per_request_in_slo", "J", "J/request in slo", "energy_gross_j / shares of the requests that kept the slo", True, _LOWER),
    Metric("power_mean_w", "W", "mean W", "energy_gross_j / window_s", True, _LOWER),
    Metric("power_idle_w", "W", "idle W", "mean power with the server loaded and no request in flight, before the cell", True, _LOWER),
    Metric("power_idle_after_w", "W", "idle W after", "the same after the cell", True, _LOWER),
    Metric("energy_counter_j", "J", "J by counter", "what the devices' energy counters rose by in the window", True),
    Metric("energy_integral_j", "J", "J by integral", "power integrated over the window", True),
    Metric("energy_gain", "ratio", "gain", "true over shown joules: 1 within the bounds that are known, apart from sampling", True),
    Metric("energy_gain_offset_w", "W", "gain's offset", "true over shown watts: 0 within what is not known of the meter's offset", True),
    Metric("counter_integral_disagreement", "ratio", "counter against integral", "energy_counter_j / energy_integral_j - 1", True),
    Metric("energy_<rule>_measured_j", "J", "J of measured requests", "what the rule charges measured requests", True),
    Metric("energy_<rule>_other_j", "J", "J of other requests", "what the rule charges warm-up and filler", True),
    Metric("energy_<rule>_unattributed_j", "J", "J of none", "what the rule charges no request; the three sum to energy_gross_j", True),
    Metric("energy_<rule>_request_<percentile>_j", "J", "J of single requests, <percentile>", "percentile over measured requests", True, _LOWER),
    Metric("j_per_request_outside_solution_<of_tokens>", "J", "J/request outside the code, <of_tokens>", "what the rule charges output tokens outside of the code that was graded / requests for which these are known", True, _LOWER),
    Metric("phase_step_j", "J", "J/step", "cost of a step, fitted across all loads of a variant (rule phase)", True, _LOWER),
    Metric("phase_decoded_token_j", "J", "J/decoded token", "cost of a token decoded, likewise", True, _LOWER),
    Metric("phase_prompt_token_j", "J", "J/prompt token", "cost of a token of a prompt read in, likewise", True, _LOWER),
    Metric("phase_context_token_j", "J", "J/context token", "cost of a token of context that attention read, where it helps the fit", True, _LOWER),
    Metric("phase_condition", "ratio", "condition", "condition number of the fit's scaled columns", True, _LOWER),
    Metric("phase_holdout_error", "ratio", "hold-out error", "worst relative error for a load that was left out of the fit", True, _LOWER),
    Metric("paper_total_j_per_request", "J", "paper's total, J/request", "(GPU by NVML + packages by RAPL + 45 W x window_s) / requests_in_window", better=_LOWER),
    Metric("paper_outside_share", "ratio", "outside the GPU", "1 - GPU's joules / that total"),
)
_CONTRASTS = (
    Metric("energy_factor", "ratio", "factor, gross", "j_per_request of single-stream / of the load: geometric mean over blocks", True, _HIGHER),
    Metric("<tested>_gain", "ratio", "<tested>, by the gain", "the ratio, within what the offset of the meter's gain leaves open in it", True),
    Metric("j_per_output_token_ratio_gain", "ratio", "J/token, by the gain", "the same of j_per_output_token_ratio", True),
    Metric("energy_factor_net", "ratio", "factor, net", "the same of j_per_request_net", True, _HIGHER),
    Metric("<side>_rate", "requests/s", "<side>, requests/s", "mean of request_rate over the blocks of the factor", True),
    Metric("<side>_idle_share", "ratio", "idle's share, <side>", "mean of j_per_request_idle / mean of j_per_request", True),
    Metric("idle_share", "ratio", "idle's share of what is saved", "difference of idle / difference of gross, of both sides' J/request", True),
    Metric("j_per_request_ratio", "ratio", "J/request", "variant / reference, same load: geometric mean over blocks", True, _LOWER),
    Metric("j_per_output_token_ratio", "ratio", "J/token", "likewise; x tokens_per_request_ratio = j_per_request_ratio", True, _LOWER),
    Metric("tokens_per_request_ratio", "ratio", "tokens/request", "likewise", True),
    Metric("request_rate_ratio", "ratio", "requests/s", "likewise; 1 where both met the same rate", True),
    Metric("rate_found_ratio", "ratio", "highest rate", "likewise; of loads that look for their rate", True, _HIGHER),
    Metric("j_per_request_in_slo_ratio", "ratio", "J/request in slo", "likewise, each at its own highest rate", True, _LOWER),
    Metric("<tested>_p", "probability", "p", "Student's t on block log-ratios, two-sided", True),
    Metric("<tested>_p_holm", "probability", "p by Holm", "the same, adjusted over the family of its contrast and boundary", True),
    Metric("<tested>_smallest_visible", "ratio", "smallest ratio to be seen", "ratio that 80 of 100 such studies would have called different from 1", True),
    Metric("<tested>_simultaneous", "ratio", "95 %, all together", "the ratio with an interval that holds together with its whole family", True),
    Metric("saturation_own", "J", "own J/request", "own, in J/request = own + shared / concurrency", True, _LOWER),
    Metric("saturation_shared", "J", "shared J, over concurrency", "shared, likewise", True, _LOWER),
    Metric("saturation_half_at", "requests", "half of it saved at", "shared / own: the concurrency at which both cost the same", True),
    Metric("saturation_misfit", "ratio", "worst misfit", "largest relative distance of a load from that curve", True, _LOWER),
    Metric("crossover_concurrency", "requests", "crossover", "where the variant's J/request crosses the baseline's, linear in log concurrency", True),
    Metric("costs_less_above", "ratio", "costs less above", "1: the variant costs less above the crossover; 0: below it", True),
    Metric("<drifting>_drift", "ratio", "drift of <drifting>", "last over first block, along a line through the logarithms", True),
    Metric("<drifting>_drift_p", "probability", "p of it", "probability of such a drift where there is none", True),
    Metric("pass_at_1_plus_difference", "ratio", "difference of pass@1", "mean over tasks of own share passed - reference's", better=_HIGHER),
    Metric("pass_at_1_plus_difference_p", "probability", "p, sign flips", "two-sided sign flips over tasks"),
    Metric("pass_at_1_plus_difference_p_holm", "probability", "p by Holm", "the same, adjusted over its contrast"),
    Metric("pass_at_1_plus_difference_p_mcnemar", "probability", "p, McNemar", "exact, of tasks with one sample each"),
    Metric("pass_at_1_plus_difference_smallest_visible", "ratio", "smallest to be seen", "difference that 80 of 100 such studies would have seen"),
    Metric("flips_between_loads", "ratio", "answers changed by load", "answers that differ between two loads of a block / compared"),
    Metric("flips_between_repeats", "ratio", "by repeating it", "the same between a load's successive blocks"),
    Metric("flips_between_repeats_single", "ratio", "by repeating single-stream", "the same of single-stream"),
)
_NODES = (
    Metric("node_ratio", "ratio", "J/request over the nodes' mean", "J/request on a node / geometric mean of all nodes, the same measured", True),
)
# fmt: on

METRICS = {
    "Throughput": _THROUGHPUT,
    "Boards": _BOARDS,
    "Latency": _LATENCY,
    "pass@1": _ACCURACY,
    "Energy": _ENERGY,
    "Contrasts": _CONTRASTS,
    "Nodes": _NODES,
}
"""By title; rows ``check:<code>`` of ``tables/cells`` hold the figure behind a reason, in a unit of its own."""
