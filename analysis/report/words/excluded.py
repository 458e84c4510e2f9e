"""What of a run was left out and why; and what is to be known of figures that were not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from analysis.results.points import Point, Results
from analysis.results.sentences import mean_words, significant
from analysis.validity.reasons import EXPLANATIONS, UNGRADABLE

_MOST_NAMED = 6
_NOTED = {
    "clock_uncertain": "The clocks of requests and power ran apart meanwhile, by less than what would matter.",
    "prefix_cache_hit": "Parts of prompts came from the prefix cache, which the study asks for.",
}
"""Codes whose usual words are of a figure that was left out."""


_NEVER_THERE = frozenset(
    {
        *UNGRADABLE, "sandbox_missing", "not_graded", "phase_not_identified", "none_in_slo", "phase_speculation",
        "none_solved", "not_positive", "no_idle", "tokens_unknown", "gain_unknown", "not_available",
        "solution_unknown", "lag_unknown", "chunks_unknown",
    }
)  # fmt: skip
"""Codes of figures that could not be had at all: nothing that was measured is left out for their sake."""


@dataclass(frozen=True)
class Remark:
    """A code that stands at figures, in words: of which cells, and the largest figure behind it."""

    code: str
    explanation: str
    cells: str
    figure: str


def excluded(results: Results) -> tuple[Remark, ...]:
    """Return each reason for which something that was measured, or was to be, is in no mean and no contrast."""
    return _remarks(results, {entry for entry in _against(results) if entry[1] not in _NEVER_THERE}, {})


def not_known(results: Results) -> tuple[Remark, ...]:
    """List each reason for which a figure could not be had at all; a dash in a table says ``not_available``."""
    of_meters = {(cell, code) for cell, code in _against(results) if code in _NEVER_THERE - {"gain_unknown"}}
    return _remarks(results, {entry for entry in of_meters if entry[1] != "not_available"}, {})


def noted(results: Results) -> tuple[Remark, ...]:
    """Return each code that stands on figures and spoils none of its cell's."""
    against = set(_against(results))
    remarked = {
        (_cell(row), code)
        for row in results.cell_rows
        for code in row["reasons"]
        if _is_note(row) and (_cell(row), code) not in against
    }
    return _remarks(results, remarked, _NOTED)


def unanswered_words(results: Results, model: str) -> str:
    """Say why a model has no answer: it has a single variant and load, or joules of no two that go together."""
    points = results.points_of(model)
    if len(points) == 1:
        return _alone_words(results, points[0])
    known = sum(point.mean("j_per_request") is not None for point in points)
    why = ", ".join(sorted({code for point in points for code in point.why(point.reasons)}))
    return (
        f"no two of its {len(points)} variants and loads have valid joules that could be set against each other "
        f"({known} of them {'has' if known == 1 else 'have'} any{f'; reasons: {why}' if why else ''})"
    )


def _alone_words(results: Results, point: Point) -> str:
    """Say what a single variant and load costs, where that is known."""
    nothing = "this run has a single variant and load, so there is nothing to set against each other"
    count = len(point.values.get("j_per_request", ()))
    if not count:
        return nothing
    blocks = f"{count} block{'s' if count != 1 else ''}"
    joules = f"{mean_words(point, 'j_per_request', level='95 %: ')} {results.joules_words}"
    return f"{joules} by {point.variant} under {point.load}, over {blocks}; {nothing}"


def _remarks(
    results: Results, remarked: Set[tuple[str, str]], words: Mapping[str, str]
) -> tuple[Remark, ...]:
    """Return a line a code, with its cells in the tables' order."""
    cells: dict[str, dict[str, None]] = {}
    every = list(dict.fromkeys(map(_cell, results.cell_rows)))
    for code in sorted({code for _, code in remarked}):
        cells[code] = {cell: None for cell in every if (cell, code) in remarked}
    worst: dict[str, Mapping[str, Any]] = {}
    for (cell, code), row in _checks(results):
        if cell in cells.get(code, ()) and row["value"] is not None:
            worst[code] = max(worst.get(code, row), row, key=_beyond)
    return tuple(
        Remark(
            code,
            words.get(code) or EXPLANATIONS.get(code, "Found when the cell was measured."),
            _cells(list(named), len(every)),
            _figure(worst.get(code)),
        )
        for code, named in cells.items()
    )


def _beyond(row: Mapping[str, Any]) -> float:
    """Return how bad a check's figure is: the lower the worse where it has a lower bound alone."""
    value = float(row["value"])
    return -value if row["lo"] is not None and row["hi"] is None else value


def _against(results: Results) -> Iterable[tuple[str, str]]:
    """(cell, code) of all that is invalid."""
    for row in results.cell_rows:
        if not _is_note(row):
            yield from ((_cell(row), code) for code in row["reasons"])


def _is_note(row: Mapping[str, Any]) -> bool:
    """Say whether a reason spoils nothing: it stands on a valid row, or says that a meter's own gain is not known."""
    return bool(row["valid"]) or row["metric"] == "energy_gain"


def _checks(results: Results) -> Iterable[tuple[tuple[str, str], Mapping[str, Any]]]:
    """Map (cell, code) to the row with the figure behind a reason that is given."""
    for row in results.cell_rows:
        code = row["metric"].removeprefix("check:")
        if code in row["reasons"]:
            yield (_cell(row), code), row


def _cell(row: Mapping[str, Any]) -> str:
    return f"{row['model']} · {row['variant']} · {row['load']} · b{row['block']}"


def _cells(named: Sequence[str], count: int) -> str:
    if len(named) == count:
        return f"all {count}"
    more = len(named) - _MOST_NAMED
    return (
        f"{len(named)} of {count}: "
        + "; ".join(named[:_MOST_NAMED])
        + (f"; and {more} more" if more > 0 else "")
    )


def _figure(check: Mapping[str, Any] | None) -> str:
    if check is None:
        return ""
    text = f"{significant(check['value'])} {check['unit']}"
    bounds = [
        f"{word} {significant(check[end])}"
        for word, end in (("at least", "lo"), ("at most", "hi"))
        if check[end] is not None
    ]
    return f"{text}; allowed: {', '.join(bounds)}" if bounds else text
