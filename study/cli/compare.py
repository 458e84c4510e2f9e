"""``starwatt compare``: runs beside each other, in the terminal and as a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from analysis.compare.in_common import nothing_in_common
from analysis.compare.runs import PASSED, Comparison, compare
from analysis.compare.with_paper import NAME, VIEWS, beside_paper
from analysis.metrics import metric
from analysis.report.comparison import (
    answer_lines,
    asked_lines,
    difference_table,
    gain_lines,
    remark_lines,
    write_comparison,
)
from analysis.report.paper_page import paper_lines, paper_table, write_paper_page
from analysis.report.tables.table import TextTable
from analysis.results.headline import ESTIMATED
from analysis.results.left_out import left_out
from configs.differences import Change
from starwatt_errors import UsageError
from study.cli.answers import print_json
from study.cli.gate import EXIT_CODES, GateFlags, gate_as_json, tell_gate
from study.progress.display import show, tell
from study.records.existing import existing
from traces.layout import RunDir, board_of

_OF_THE_PAPER = (1, 3, 5, 6, 7, 8, 9, 10)  # columns of its table that a terminal has room for
_SHOWN = ("j_per_request", "j_per_output_token", "request_rate", "rate_found", "e2e_p50_ms", PASSED)


def compare_runs(folders: Sequence[Path], out: Path, *, as_json: bool, asked: GateFlags | None = None) -> int:
    """Set every run against the first: print what differs, write the page, and return the gate's exit code, else 0."""
    runs = [existing(folder) for folder in folders]
    comparison = compare(runs)
    gate = None if asked is None else asked.of(comparison)
    page = write_comparison(comparison, out)
    for name, run in zip(comparison.names, runs, strict=True):
        _tell_left_out(name, run)
    if as_json:
        print_json(_as_json(comparison, page) | ({} if gate is None else {"gate": gate_as_json(gate)}))
    else:
        _tell(comparison)
        if gate is not None:
            tell_gate(gate)
        print(page)  # noqa: T201
    return 0 if gate is None else EXIT_CODES[gate.outcome]


def _tell(comparison: Comparison) -> None:
    for line in asked_lines(comparison):
        tell(line)
    apart = nothing_in_common(comparison)
    for line in apart:
        tell(line)
    for name in comparison.names[1:]:
        if any(difference.run == name for difference in comparison.differences):
            show(_table(comparison, name))
    remarks = remark_lines(comparison) if len(apart) < len(comparison.others) else []  # it was told of each
    for line in (*answer_lines(comparison), *gain_lines(comparison), *remarks):
        tell(line)
    for other in comparison.others:
        if other.tasks:
            tell(f"{other.name}: pass@1 is compared over {other.tasks}", style="dim")
        for change in (*other.study, *other.machine):
            tell(f"{other.name}: {_words_of(change, comparison.names[0], other.name)}", style="dim")


def _words_of(change: Change, reference: str, name: str) -> str:
    """Say how a field differs; where one run alone has it, that is all that is to be compared."""
    if change.first is None or change.second is None:
        return f"only {reference if change.second is None else name} says {change.field}"
    first, second = change.words
    return f"{change.field} is {second}, in {reference} {first}"


def compare_with_paper(folders: Sequence[Path], out: Path, *, as_json: bool) -> None:
    """Set one run beside the paper's; print what differs, and write the page.

    Raises:
        UsageError: there is more than one run, it is missing, or the paper has nothing of it.
    """
    if len(folders) != 1:
        raise UsageError("compare --paper takes one RUN: what it is set beside is the paper")
    run = existing(folders[0])
    comparison = beside_paper(run)
    page = write_paper_page(comparison, out)
    _tell_left_out(comparison.name, run)
    if as_json:
        told = {
            "page": str(page),
            "paper": NAME,
            "views": [asdict(view) for view in VIEWS],
            **asdict(comparison),
        }
        print_json(told)
        return
    title = f"{comparison.name} beside {NAME}: J/request"
    show(_in_the_terminal(title, paper_table(comparison), _OF_THE_PAPER))
    for line in paper_lines(comparison):
        tell(line)
    for view in VIEWS:
        tell(f"{view.name}: {view.words}", style="dim")
    for what in (
        *comparison.differs,
        *dict.fromkeys(what for row in comparison.rows for what in row.differs),
    ):
        tell(f"differs: {what}", style="dim")
    for side, why in comparison.unmatched:
        tell(f"not compared: {side}: {why}", style="dim")
    print(page)  # noqa: T201


def _tell_left_out(name: str, run: RunDir) -> None:
    for words in left_out(run):
        tell(f"{name}: {words}")


def _table(comparison: Comparison, name: str) -> Table:
    content = difference_table(comparison, name, _SHOWN)
    models = {row[0] for row in content.rows}
    of = f"{models.pop()}: " if len(models) == 1 else ""
    title = f"{of}{name} over {comparison.names[0]}; {_of_which_joules(comparison)}"
    return _in_the_terminal(title, content, range(1 if of else 0, len(content.header)))


def _in_the_terminal(title: str, content: TextTable, places: Iterable[int]) -> Table:
    """Lay out some columns of a table, figures to the right."""
    table = Table(title=title)
    for place in places:
        table.add_column(content.header[place], justify="left" if place < content.labels else "right")
    for row in content.rows:
        table.add_row(*(Text(row[place]) for place in places))  # not markup: it may hold brackets
    return table


def _of_which_joules(comparison: Comparison) -> str:
    if comparison.pair is None:
        return f"no joules: {comparison.no_joules}"
    boundary, source = comparison.pair
    note = f" ({ESTIMATED})" if comparison.estimated else ""
    return f"joules of the boundary {boundary}, by {source}{note}"


def _as_json(comparison: Comparison, page: Path) -> dict[str, Any]:
    return {
        "page": str(page),
        "runs": comparison.names,
        "reference": comparison.names[0],
        "boundary": comparison.pair[0] if comparison.pair else None,
        "source": comparison.pair[1] if comparison.pair else None,
        "estimated": comparison.estimated,
        "differences": [
            {
                "run": difference.run,
                "model": difference.model,
                "variant": difference.variant,
                "load": difference.load,
                "board": board_of(difference.load),
                "metric": difference.metric,
                "unit": metric(difference.metric).unit,
                "better": metric(difference.metric).better,
                "kind": "difference" if difference.metric == PASSED else "ratio",
                "reference_value": difference.reference_value,
                "value": difference.value,
                "estimate": difference.estimate.ratio,
                "lo": difference.estimate.lo,
                "hi": difference.estimate.hi,
                "p": difference.estimate.p,
                "count": difference.estimate.blocks,
                "reasons": difference.estimate.reasons,
            }
            for difference in comparison.differences
        ],
        "others": [asdict(other) for other in comparison.others],
    }
