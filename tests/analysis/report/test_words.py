"""The report's sentences say what figures bear out and no more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analysis.compare.paper import paper_figures, read_runs
from analysis.report import write_report
from analysis.report.tables.papers_figures import boundary_words
from configs.restarts import Resident
from tests.golden.world import LOADS, World


def test_the_boundary_decides_the_sign_only_where_the_papers_figures_turn() -> None:
    figures = [figure for figure in paper_figures(read_runs()) if figure.configuration.quantisation != "none"]
    turned = [figure for figure in figures if (figure.gpu_change or 0) * (figure.total_change or 0) < 0]
    assert len(figures) == 8
    assert len(turned) == 2
    assert boundary_words(figures) == (
        "the boundary decides the sign for bnb-fp4 on starcoder2-7b, elsewhere the size."
    )
    assert boundary_words(turned) == "the boundary decides the sign."
    assert boundary_words([figure for figure in figures if figure not in turned]) == (
        "the boundary decides the size, never the sign."
    )
    assert "for bnb-fp4 on starcoder2-7b at 128 tokens, elsewhere" in boundary_words(
        [replace(figure, gpu_change=0.1) if figure == turned[1] else figure for figure in figures]
    )


@pytest.mark.parametrize(("every", "words"), [(1, "anew in each"), (2, "once")])
def test_the_head_says_how_often_engines_that_stay_loaded_were_started(
    tmp_path: Path, every: int, words: str
) -> None:
    restarts = Resident(resident="auto", every=every)
    world = World(
        tmp_path / "run", variants=("bf16",), loads=LOADS[:1], blocks=2, engine_restarts=restarts
    ).build()
    page = write_report(world.run).read_text(encoding="utf-8")
    assert f"2, all engines loaded beside each other, started {words}; 2 cells" in page
