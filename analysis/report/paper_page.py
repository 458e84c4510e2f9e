"""``starwatt compare RUN --paper`` as one HTML file, and the same lines for the terminal."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from analysis.compare.with_paper import NAME, REASONS, VIEWS, PaperComparison, PaperRow
from analysis.contrasts.statistics import RatioEstimate
from analysis.report.figures.drawing import Drawing
from analysis.report.figures.looks import Palette
from analysis.report.figures.ratios import RatioMark, ratio_plot, rows_height
from analysis.report.pages.templates import rendered
from analysis.report.tables.papers_figures import papers_figures
from analysis.report.tables.table import Columns, TextTable, table_of
from analysis.results.sentences import effect_words, ratio_words, significant
from analysis.validity.reasons import EXPLANATIONS
from traces.atomic import write_text


def write_paper_page(comparison: PaperComparison, path: Path) -> Path:
    """Write the page and return its path; one file that asks no network."""
    estimates = [estimate for row in comparison.rows for estimate in _estimates(row)]
    explained = EXPLANATIONS | REASONS
    codes = sorted({code for estimate in estimates for code in estimate.reasons})
    text = rendered(
        "beside_paper.html.j2",
        title=f"{comparison.name} beside {NAME}",
        lines=paper_lines(comparison),
        differs=comparison.differs,
        drawing=_drawing(comparison),
        views=[(view.name, view.words) for view in VIEWS],
        content=paper_table(comparison),
        codes=[(code, explained[code]) for code in codes if code in explained],
        unmatched=comparison.unmatched,
        paper=papers_figures(),
    )
    write_text(path, text)
    return path


def _estimates(row: PaperRow) -> tuple[RatioEstimate, ...]:
    return row.absolute, row.our_effect, row.paper_effect, row.effects


def paper_lines(comparison: PaperComparison) -> list[str]:
    """Return a line a variant and boundary: its cost over the original here and there; J/request of the original."""
    return [_line(row, comparison.baseline) for row in comparison.rows]


def _line(row: PaperRow, baseline: str | None) -> str:
    what = f"{row.variant} under {row.load}, {row.view}: "
    if row.our_effect.ratio is None or row.paper_effect.ratio is None:
        why = "" if row.ours_j is not None else f" ({', '.join(row.absolute.reasons)})"
        return what + f"{significant(row.ours_j)} J/request here{why}, {significant(row.paper_j)} there"
    here = effect_words(row.our_effect.as_row(), of="J/request", than=str(baseline))
    there = effect_words(row.paper_effect.as_row(), of="J/request", than="the original")
    return f"{what}{here}; in the paper {there.replace('blocks', 'runs')}{_said(row.effects)}"


def _said(effects: RatioEstimate) -> str:
    """Say whether the two are told apart."""
    if effects.lo is None or effects.hi is None or effects.ratio is None:
        return ""
    interval = (
        f"ratio {significant(effects.ratio)}, 95 %: {significant(effects.lo)} to {significant(effects.hi)}"
    )
    if effects.lo <= 1 <= effects.hi:
        return f". The two can't be told apart ({interval})"
    return f". Against its original it costs {'more' if effects.ratio > 1 else 'less'} here than there ({interval})"


def _configuration(row: PaperRow) -> str:
    configuration = row.configuration
    format_, pruned = configuration.quantisation, configuration.pruned_last_layers
    made = f"without its last {pruned} layer{'s' if pruned > 1 else ''}" if pruned else format_
    return (
        f"{configuration.model}, {'fp32' if made == 'none' else made}, {configuration.max_new_tokens} tokens"
    )


_COLUMNS: Columns[PaperRow] = (
    ("model", lambda row: row.model),
    ("variant", lambda row: row.variant),
    ("load", lambda row: row.load),
    ("boundary", lambda row: row.view),
    ("the paper's", _configuration),
    ("J/request here", lambda row: significant(row.ours_j)),
    ("there", lambda row: significant(row.paper_j)),
    ("here over there", lambda row: ratio_words(row.absolute)),
    ("variant over original, here", lambda row: ratio_words(row.our_effect)),
    ("there", lambda row: ratio_words(row.paper_effect)),
    ("effect here over there", lambda row: ratio_words(row.effects)),
    ("blocks, runs", lambda row: f"{row.blocks}, {row.runs}"),
    ("differs", lambda row: "; ".join(row.differs) or "nothing more"),
)


def paper_table(comparison: PaperComparison) -> TextTable:
    """Return a row a variant and boundary."""
    return table_of(_COLUMNS, comparison.rows, 5)


def _drawing(comparison: PaperComparison) -> Drawing | None:
    """Return a row a variant and boundary, a mark a side: the ratio to the original with its interval."""
    rows = [row for row in comparison.rows if row.our_effect.ratio and row.paper_effect.ratio]
    if not rows:
        return None
    several = len({row.model for row in rows}) > 1
    palette = Palette(tuple(dict.fromkeys(row.variant for row in rows)), ())

    def paint(figure: Figure) -> None:
        marks = [
            RatioMark(y + shift, which, estimate, palette.variant(row.variant))
            for y, row in enumerate(rows)
            for which, (shift, estimate) in enumerate(((-0.14, row.our_effect), (0.14, row.paper_effect)))
        ]
        names = [" · ".join([row.model] * several + [row.variant, row.view]) for row in rows]
        axes = ratio_plot(figure, names, marks, (comparison.name, NAME))
        axes.set_xlabel("J / request, over the original's")

    words = "; ".join(
        f"{row.variant} by {row.view} {ratio_words(row.our_effect)} here and {ratio_words(row.paper_effect)} there"
        for row in rows
    )
    return Drawing(
        name="paper",
        title="What compression costs, one request at a time",
        description=f"Dot plot of joules per request of a variant over the original's, here and in {NAME}: {words}.",
        caption="Right of the line costs more than the original. Bars are 95 % intervals, one by one: over blocks "
        "here, over runs there. GPU and total are two boundaries, whose joules are never compared with each other.",
        height=rows_height(len(rows), 2),
        paint=paint,
    )
