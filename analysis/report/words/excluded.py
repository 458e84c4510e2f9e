"""What of a run was left out and why; and what is to be known of figures that were not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.results.headline import significant
from analysis.results.points import Results
from analysis.validity.reasons import EXPLANATIONS

_MOST_NAMED = 6
_NOTED = {
    "clock_uncertain": "The clocks of requests and power ran apart meanwhile, by less than what would matter."
}
"""Codes whose usual words are of a figure that was left out."""


@dataclass(frozen=True)
class Excluded:
    """A reason against figures of one cell, in words, with the figure behind it."""

    cell: str
    code: str
    explanation: str
    figure: str


@dataclass(frozen=True)
class Noted:
    """Something to know of figures that count, in words: of which cells, and the largest figure behind it."""

    code: str
    explanation: str
    cells: str
    figure: str


def excluded(results: Results) -> tuple[Excluded, ...]:
    """Each reason of a cell's invalid rows once, with the check's figure where there is one."""
    checks = {key: row for key, row in _checks(results) if row["value"] is not None}
    return tuple(
        Excluded(
            cell,
            code,
            EXPLANATIONS.get(code, "Found when the cell was measured."),
            _figure(checks.get((cell, code))),
        )
        for cell, code in dict.fromkeys(_against(results))
    )


def noted(results: Results) -> tuple[Noted, ...]:
    """Each code that stands on figures and spoils none of its cell's."""
    against = set(_against(results))
    cells: dict[str, dict[str, None]] = {}
    for row in results.cell_rows:
        for code in row["reasons"]:
            if _is_note(row) and (_cell(row), code) not in against:
                cells.setdefault(code, {})[_cell(row)] = None
    worst: dict[str, Mapping[str, Any]] = {}
    for (cell, code), row in _checks(results):
        if cell in cells.get(code, ()) and row["value"] is not None:
            worst[code] = max(worst.get(code, row), row, key=lambda one: float(one["value"]))
    count = len({_cell(row) for row in results.cell_rows})
    return tuple(
        Noted(
            code,
            _NOTED.get(code, EXPLANATIONS.get(code, "")),
            _cells(list(own), count),
            _figure(worst.get(code)),
        )
        for code, own in sorted(cells.items())
    )


def _against(results: Results) -> Iterable[tuple[str, str]]:
    """(cell, code) of all that is invalid; a dash in a table says as much as ``not_available``."""
    for row in results.cell_rows:
        if not _is_note(row):
            yield from ((_cell(row), code) for code in row["reasons"] if code != "not_available")


def _is_note(row: Mapping[str, Any]) -> bool:
    """A reason on a valid row spoils nothing; nor does it that a meter's own gain is not known."""
    return bool(row["valid"]) or row["metric"] == "energy_gain"


def _checks(results: Results) -> Iterable[tuple[tuple[str, str], Mapping[str, Any]]]:
    """By (cell, code): rows with the figure behind a reason that is given."""
    for row in results.cell_rows:
        code = row["metric"].removeprefix("check:")
        if code in row["reasons"]:
            yield (_cell(row), code), row


def _cell(row: Mapping[str, Any]) -> str:
    return f"{row['model']} · {row['variant']} · {row['load']} · b{row['block']}"


def _cells(own: Sequence[str], count: int) -> str:
    if len(own) == count:
        return f"all {count}"
    more = len(own) - _MOST_NAMED
    return (
        f"{len(own)} of {count}: " + "; ".join(own[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
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
