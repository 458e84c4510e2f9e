"""``starwatt compare``: runs beside each other as one HTML file, and the same lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from analysis.compare.in_common import nothing_in_common
from analysis.compare.runs import PASSED, RATIOS, REASONS, Beside, Comparison, Difference
from analysis.metrics import metric
from analysis.report.figures.captions import said
from analysis.report.figures.drawing import Drawing
from analysis.report.figures.looks import palette_of
from analysis.report.figures.ratios import RatioMark, ratio_plot, rows_height
from analysis.report.pages.templates import rendered
from analysis.report.tables.table import TextTable
from analysis.report.words.gains import beside_words
from analysis.results.headline import ESTIMATED
from analysis.results.sentences import effect_words, significant, with_bounds
from analysis.validity.reasons import EXPLANATIONS
from traces.atomic import write_text

_SECTIONS = (
    ("answer", "The answer"),
    ("figures", "Figure"),
    ("tables", "Every figure"),
    ("factors", "Each by itself"),
    ("differs", "What differs"),
)
_WITHIN = {
    "batched_vs_single": ("single-stream over batched", "energy_factor"),
    "variant_vs_baseline": ("variant over baseline", "j_per_request_ratio"),
}


def write_comparison(comparison: Comparison, path: Path) -> Path:
    """Write the page and return its path; one file that asks no network."""
    note = f" ({ESTIMATED})" if comparison.estimated else ""
    codes = sorted({code for difference in comparison.differences for code in difference.estimate.reasons})
    explained, drawing = EXPLANATIONS | REASONS, drawing_of(comparison, note)
    tables, factors = _tables(comparison), _factors(comparison)
    there = {"figures": drawing, "tables": tables, "factors": factors.rows}
    text = rendered(
        "comparison.html.j2",
        title=" beside ".join(comparison.names),
        names=comparison.names,
        pair=comparison.pair,
        note=note,
        estimated=comparison.estimated,
        estimated_words=ESTIMATED,
        no_joules=comparison.no_joules,
        links=[section for section in _SECTIONS if there.get(section[0], True)],
        apart=nothing_in_common(comparison),
        asked=asked_lines(comparison),
        lines=answer_lines(comparison),
        gains=[
            *gain_lines(comparison),
            *(f"{other.other_tasks}." for other in comparison.others if other.other_tasks),
        ],
        drawing=drawing,
        tables=tables,
        codes=[(code, explained[code]) for code in codes if code in explained],
        factors=factors,
        others=[_other(other) for other in comparison.others],
    )
    write_text(path, text)
    return path


def _tables(comparison: Comparison) -> list[tuple[str, TextTable, str, str]]:
    """Return name, table, pairing and tasks of each run that shares a condition with the first."""
    every = (
        (other.name, difference_table(comparison, other.name), _how(other), other.tasks)
        for other in comparison.others
    )
    return [told for told in every if told[1].rows]


def _how(other: Beside) -> str:
    if other.paired:
        return "paired by block, since both were asked the same"
    return "by Welch, since the two were not asked the same"


def gain_lines(comparison: Comparison) -> list[str]:
    """Return what of the boards themselves is in the ratios of joules, a sentence or two a run."""
    pair = comparison.pair
    if pair is None:
        return []
    return [
        beside_words(other.gains, (comparison.names[0], other.name), pair)
        for other in comparison.others
        if other.gains is not None
    ]


def asked_lines(comparison: Comparison) -> list[str]:
    """Return what differs in what a run was asked, a sentence each that it is so of, and what follows from it."""
    first = comparison.names[0]
    said = []
    for other in (each for each in comparison.others if each.asked):
        changes = ((change.field, *change.words) for change in other.asked)
        what = "; ".join(f"{field} is {here}, in {first} {there}" for field, there, here in changes)
        said.append(f"{other.name} is no measure of {first}, as they were not asked the same: {what}")
    return said


def remark_lines(comparison: Comparison) -> list[str]:
    """Return what was measured in one of two runs alone, and where they answered other tasks."""
    lines = []
    for other in comparison.others:
        for name, sides in ((comparison.names[0], other.missing), (other.name, other.added)):
            if sides:
                lines.append(f"only in {name}: {'; '.join(' · '.join(side) for side in sides)}")
        lines += [other.other_tasks] if other.other_tasks else []
    return lines


def answer_lines(comparison: Comparison) -> list[str]:
    """Return what J/request became, a line a run, variant and load; estimated joules are called so in each.

    A run that was asked something else, or on other boards, has none: a percentage would be of that.
    """
    asked_the_same = {other.name for other in comparison.others if not other.asked}
    joules = "estimated J/request" if comparison.estimated else "J/request"
    return [
        f"{difference.run}: {difference.variant} under {difference.load} "
        + effect_words(difference.estimate.as_row(), of=joules, than=comparison.names[0])
        for difference in comparison.of("j_per_request")
        if difference.estimate.ratio is not None and difference.run in asked_the_same
    ]


def estimate_words(difference: Difference) -> str:
    """Return a ratio, or for pass@1 a difference, with its interval where it has one; a dash where it is not known."""
    shown, estimate = "{:+.3f}".format if difference.metric == PASSED else significant, difference.estimate
    if estimate.ratio is None:
        return "–"
    between = "" if estimate.bounds is None else f" ({' to '.join(map(shown, estimate.bounds))})"
    return shown(estimate.ratio) + between


def difference_table(
    comparison: Comparison, name: str, metrics: Sequence[str] = (*RATIOS, PASSED)
) -> TextTable:
    """Return a row a variant and load, a column a metric that any of them has; for the page and for the terminal.

    Where anything has no interval the last column says why.
    """
    sides: dict[tuple[str, ...], dict[str, Difference]] = {}
    for difference in comparison.differences:
        if difference.run == name and difference.metric in metrics:
            sides.setdefault(difference.condition, {})[difference.metric] = difference
    known = [name for name in metrics if any(name in differences for differences in sides.values())]
    names = ("pass@1" if name == PASSED else metric(name).label for name in known)
    rows = [(*side, *_cells(differences, known)) for side, differences in sides.items()]
    if not any(row[-1] for row in rows):
        return TextTable(("model", "variant", "load", *names), tuple(row[:-1] for row in rows), 3)
    return TextTable(("model", "variant", "load", *names, "reasons"), tuple(rows), 3)


def _cells(differences: Mapping[str, Difference], known: Sequence[str]) -> Iterator[str]:
    """Yield a condition's figures, metric by metric, and why any of them has no interval."""
    for name in known:
        yield estimate_words(differences[name]) if name in differences else "–"
    codes = {code for difference in differences.values() for code in difference.estimate.reasons}
    yield ", ".join(sorted(codes))


def _factors(comparison: Comparison) -> TextTable:
    """Return the paired contrasts of each run, one column a run."""
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for name, results in zip(comparison.names, comparison.results, strict=True):
        for contrast in results.contrasts:
            title, metric = _WITHIN.get(contrast.kind, ("", ""))
            row = contrast.metrics.get(metric)
            if row is None:
                continue
            place = contrast.model, title, contrast.variant, contrast.load
            rows.setdefault(place, {})[name] = with_bounds(row["value"], row["lo"], row["hi"])
    header = ("model", "comparison", "variant", "load", *comparison.names)
    body = tuple(
        (*key, *(values.get(name, "–") for name in comparison.names)) for key, values in rows.items()
    )
    return TextTable(header, body, 4)


def _other(other: Beside) -> dict[str, Any]:
    return {
        "name": other.name,
        "missing": [" · ".join(side) for side in other.missing],
        "added": [" · ".join(side) for side in other.added],
        "changes": [
            (caption, [(change.field, *change.words) for change in changes])
            for caption, changes in (
                ("The study", other.study),
                ("Machine, packages, checkpoints and, of load tests, the load", other.machine),
            )
        ],
    }


def drawing_of(comparison: Comparison, note: str) -> Drawing | None:
    """Return a row a variant and load, a mark a run: the ratio of J/request with its interval."""
    shown = [
        difference for difference in comparison.of("j_per_request") if difference.estimate.ratio is not None
    ]
    if not shown:
        return None
    sides = list(dict.fromkeys(difference.condition for difference in shown))
    several = len({side.model for side in sides}) > 1
    first, *others = comparison.names
    palette = palette_of(comparison.results)

    def paint(figure: Figure) -> None:
        shift = 0.7 / len(others)
        marks = [
            RatioMark(
                sides.index(difference.condition)
                + (others.index(difference.run) - (len(others) - 1) / 2) * shift,
                others.index(difference.run),
                difference.estimate,
                palette.variant(difference.variant),
            )
            for difference in shown
        ]
        rows = [" · ".join(side if several else side[1:]) for side in sides]
        ratio_plot(figure, rows, marks, others).set_xlabel(said(f"J / request, over {first}", note))

    words = "; ".join(
        f"{gain.run}, {gain.variant} under {gain.load}: {estimate_words(gain)}" for gain in shown
    )
    return Drawing(
        name="comparison",
        title=f"J/request over {first}{note}",
        description=f"Dot plot of the ratio of joules per request to {first}{note}: {words}.",
        caption=f"Left of the line costs less than in the first run. {_bars_words(shown)}",
        height=rows_height(len(sides), len(others)),
        paint=paint,
    )


def _bars_words(shown: Sequence[Difference]) -> str:
    """Say what the bars are, where there are any, and why others have none."""
    known = [difference.estimate.lo is not None for difference in shown]
    if all(known):
        return "Bars are 95 % intervals, one by one."
    bars = "Bars are 95 % intervals, one by one. There is none" if any(known) else "There is no interval"
    engines = "where all blocks of a variant had one engine start or an engine that others started"
    return f"{bars} below three blocks, nor {engines}."
