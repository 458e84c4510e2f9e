"""The report's sentences say what figures bear out and no more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.compare.paper import paper_figures, read_runs
from analysis.report.tables.papers_figures import boundary_words
from analysis.report.words.lead import lead
from analysis.results.headline import HeadlineLine


def line(value: float | None, lo: float | None = None, hi: float | None = None, *why: str) -> HeadlineLine:
    """A factor of single-stream over another load."""
    return HeadlineLine("m", "batched_vs_single", "v", "l", "", value, lo, hi, why, estimated=False)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (
            [line(3.4, 3.1, 4.2), line(2.0, 1.5, 2.6), line(1.02, 0.9, 1.2)],
            (
                "One request at a time costs between 1.50 and 4.20 times the joules per request of the other loads "
                "(ends of the 95 % intervals of 2 comparisons; in 1 no difference can be seen)."
            ),
        ),
        (
            [line(3.4, 3.1, 4.2), line(0.8, 0.7, 0.9), line(9.0, None, None, "too_few_blocks"), line(None)],
            (
                "One request at a time costs between 3.10 and 4.20 times the joules per request of the other loads "
                "(ends of the 95 % intervals of 1 comparison; in 1 it costs less; 1 has no interval)."
            ),
        ),
        (
            [line(0.8, 0.7, 0.9)],
            (
                "One request at a time costs between 0.700 and 0.900 times the joules per request of the other loads "
                "(ends of the 95 % intervals of 1 comparison)."
            ),
        ),
        (
            [line(1.3, 0.9, 1.8), line(2.0, None, None, "too_few_blocks")],
            (
                "Between one request at a time and the other loads no difference in joules per request can be seen "
                "(1 comparison; 1 has no interval)."
            ),
        ),
        (
            [
                line(3.4, None, None, "too_few_blocks", "one_engine_start"),
                line(2.0, None, None, "too_few_blocks"),
            ],
            (
                "One request at a time costs between 2.00 and 3.40 times the joules per request of the other loads "
                "(2 comparisons, estimates without an interval: one_engine_start, too_few_blocks)."
            ),
        ),
        ([line(None), replace(line(2.0, 1.9, 2.1), kind="variant_vs_baseline")], None),
    ],
)
def test_the_first_sentence_goes_no_further_than_the_intervals(
    lines: list[HeadlineLine], sentence: str | None
) -> None:
    assert lead(lines, estimated=False) == sentence


def test_estimated_joules_are_called_that_in_the_first_sentence() -> None:
    assert "times the estimated joules per request" in (lead([line(2.0, 1.9, 2.1)], estimated=True) or "")


def test_the_boundary_decides_the_sign_only_where_the_papers_figures_turn() -> None:
    figures = [one for one in paper_figures(read_runs()) if one.configuration.quantisation != "none"]
    turned = [one for one in figures if (one.gpu_change or 0) * (one.total_change or 0) < 0]
    assert len(figures) == 8
    assert len(turned) == 2
    assert boundary_words(figures) == (
        "the boundary decides the sign for bnb-fp4 on starcoder2-7b, elsewhere the size."
    )
    assert boundary_words(turned) == "the boundary decides the sign."
    assert boundary_words([one for one in figures if one not in turned]) == (
        "the boundary decides the size, never the sign."
    )
    assert "for bnb-fp4 on starcoder2-7b at 128 tokens, elsewhere" in boundary_words(
        [replace(one, gpu_change=0.1) if one == turned[1] else one for one in figures]
    )
