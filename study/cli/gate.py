"""``starwatt compare --fail-above``: a gate for CI, in the terminal, as JSON and as Markdown for a pull request."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analysis.compare.gate import Gate, Outcome, Verdict, bound_of, check_metric, gate
from analysis.compare.runs import PASSED, Comparison
from analysis.metrics import metric as metric_of
from study.exit_codes import INVALID, WORSE
from study.progress.display import tell
from traces.atomic import write_text

EXIT_CODES = {Outcome.WITHIN: 0, Outcome.WORSE: WORSE, Outcome.UNKNOWN: INVALID}
_SIGNS = {Outcome.WITHIN: "✅", Outcome.WORSE: "❌", Outcome.UNKNOWN: "❔"}
_STYLES = {Outcome.WITHIN: "green", Outcome.WORSE: "red", Outcome.UNKNOWN: "yellow"}


@dataclass(frozen=True)
class GateFlags:
    """Hold what the command line asks of a gate, read before any run is."""

    bound: float
    metric: str
    strict: bool
    summary: Path | None

    @staticmethod
    def read(bound: str, metric: str, *, strict: bool, summary: Path | None) -> GateFlags:
        """Read the flags; raises ``UsageError`` where the bound is no percentage, or the metric has no worse side."""
        check_metric(metric)
        return GateFlags(bound_of(bound), metric, strict, summary)

    def of(self, comparison: Comparison) -> Gate:
        """Hold the runs against the bound, and write the summary where one is asked for."""
        result = gate(comparison, self.metric, self.bound, strict=self.strict)
        if self.summary is not None:
            write_summary(result, comparison.names[0], self.summary)
        return result


def tell_gate(gate: Gate) -> None:
    """Say what the gate found, a line a condition that did not pass."""
    for verdict in gate.verdicts:
        if verdict.outcome is not Outcome.WITHIN:
            tell(f"{_what(verdict)}: {_change_words(verdict, gate.metric)}", style=_STYLES[verdict.outcome])
    tell(_summed_up(gate), style=_STYLES[gate.outcome])


def gate_as_json(gate: Gate) -> dict[str, Any]:
    """Give the gate as plain data: shares, not percentages."""
    return {
        "metric": gate.metric,
        "bound": gate.bound,
        "strict": gate.strict,
        "outcome": gate.outcome,
        "exit_code": EXIT_CODES[gate.outcome],
        "verdicts": [
            {key: value for key, value in asdict(verdict).items() if key != "condition"}
            | verdict.condition._asdict()
            for verdict in gate.verdicts
        ],
    }


def write_summary(gate: Gate, reference: str, file: Path) -> None:
    """Write the gate as Markdown, for a pull request or the summary of a workflow.

    Raises:
        OSError: the file cannot be written.
    """
    lines = [
        f"### {_SIGNS[gate.outcome]} starwatt: {_summed_up(gate)}",
        "",
        f"Over `{reference}`, with 95 % intervals:",
        "",
        f"| | run | model | variant | load | {metric_of(gate.metric).label}: worse by |",
        "|---|---|---|---|---|---|",
        *(
            f"| {_SIGNS[verdict.outcome]} | {' | '.join((verdict.run, *verdict.condition))} "
            f"| {_change(verdict, gate.metric)} |"
            for verdict in gate.verdicts
        ),
    ]
    write_text(file, "\n".join(lines) + "\n")


def _what(verdict: Verdict) -> str:
    model, variant, load = verdict.condition
    return f"{verdict.run}: {model} {variant} {load}"


def _change_words(verdict: Verdict, metric: str) -> str:
    """Say how a condition changed, for the better or the worse, with its interval; or why that is not known."""
    codes = f" [{', '.join(verdict.reasons)}]" if verdict.reasons else ""
    if verdict.worse_by is None:
        return f"how it changed is not known{codes}"
    sign, side = (-1, "better") if verdict.worse_by < 0 else (1, "worse")
    value = f"{side} by {abs(verdict.worse_by) * 100:.1f} {_unit(metric)}"
    if verdict.lo is None or verdict.hi is None:
        return f"{value}, no interval{codes}"
    low, high = sorted((sign * verdict.lo, sign * verdict.hi))
    return f"{value} ({low * 100:+.1f} to {high * 100:+.1f})"


def _change(verdict: Verdict, metric: str) -> str:
    """Say by how much a condition is worse, with its interval; or why that is not known. Below 0 it is better."""
    codes = f" [{', '.join(verdict.reasons)}]" if verdict.reasons else ""
    if verdict.worse_by is None:
        return f"not known{codes}"
    value = f"{verdict.worse_by * 100:+.1f} {_unit(metric)}"
    if verdict.lo is None or verdict.hi is None:
        return f"{value}, no interval{codes}"
    return f"{value} ({verdict.lo * 100:+.1f} to {verdict.hi * 100:+.1f})"


def _unit(metric: str) -> str:
    return "points" if metric == PASSED else "%"


def _summed_up(gate: Gate) -> str:
    label, bound = metric_of(gate.metric).label, f"{gate.bound * 100:g} {_unit(gate.metric)}"
    counts = {outcome: sum(verdict.outcome is outcome for verdict in gate.verdicts) for outcome in Outcome}
    if gate.outcome is Outcome.WORSE:
        how = "can be" if gate.strict else "is"
        return f"{label} {how} worse by more than {bound} in {counts[Outcome.WORSE]} of {len(gate.verdicts)} conditions"
    if gate.outcome is Outcome.UNKNOWN:
        if not gate.verdicts:
            return f"nothing can be said of {label}: the runs have no condition in common"
        return (
            f"nothing can be said of {label} in {counts[Outcome.UNKNOWN]} of {len(gate.verdicts)} conditions"
        )
    how = "is" if gate.strict else "is shown to be"
    return f"{label} {how} worse by more than {bound} in none of {len(gate.verdicts)} conditions"
