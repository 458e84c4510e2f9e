"""A study of several models: what is said of which of them, and what they have to be set beside each other by."""

from __future__ import annotations

import re

import pytest

from analysis.opened import OpenedRun
from analysis.report import write_report
from analysis.report.figures.catalogue import drawings_by_model
from analysis.report.tables.outside import outside_table
from analysis.results.points import read_results
from analysis.tables import analyze
from study.cli.results import tell_answer
from tests.golden.engine import Load
from tests.golden.world import World
from traces.layout import RunDir

MODELS = ("tiny-a", "tiny-b")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """Two models asked by chat, each by two variants under two loads."""
    root = tmp_path_factory.mktemp("models") / "run"
    loads = (Load("single-stream"), Load("closed-8", 8))
    world = World(
        root, ("bf16", "int8-bnb"), loads, blocks=1, memorised=False, models=MODELS, endpoint="chat"
    )
    run = world.build().run
    assert analyze(run).measured == 8
    return run


@pytest.fixture(scope="module")
def page(run: RunDir) -> str:
    return write_report(run).read_text(encoding="utf-8")


def test_each_model_has_its_own_answers_and_figures_under_its_name(run: RunDir, page: str) -> None:
    headings = re.findall(r'<h3 class="model">(.*?)</h3>', page)
    assert headings == [*MODELS, *MODELS], "of the answers, and of the figures"
    drawn = drawings_by_model(OpenedRun(run))
    assert list(drawn) == list(MODELS)
    of_figures = page[page.index('id="figures"') :]
    places = [of_figures.index(f'<h3 class="model">{model}</h3>') for model in MODELS]
    for model, place in zip(MODELS, places, strict=True):
        for drawing in drawn[model]:
            at = of_figures.index(f'<figure id="{drawing.name}">')
            assert place < at < (places[1] if model == MODELS[0] else len(of_figures))


def test_models_are_set_beside_each_other_first_and_without_an_interval_of_their_order(page: str) -> None:
    answer = page[page.index("Which model takes the least?") : page.index('<h3 class="model">')]
    for model in MODELS:
        assert re.search(
            rf"<li>{model}: [\d.]+ J a solved task: .* J/request by bf16 under closed-8, pass@1 1\.00", answer
        )
    assert "the order has no interval of its own" in answer


def test_a_page_says_that_its_models_were_asked_by_chat(page: str) -> None:
    assert "<dt>Asked</dt><dd>by chat, each model in its own template</dd>" in page


def test_where_no_share_of_words_around_the_code_is_known_there_is_no_table_of_it(
    run: RunDir, page: str
) -> None:
    opened = OpenedRun(run)
    assert outside_table(opened, read_results(opened), MODELS[0]).rows == ()
    assert "the words around the code" not in page


def test_the_terminal_says_the_same_in_the_same_order(
    run: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    tell_answer(run, analyze(run), as_json=False)
    said = " ".join(capsys.readouterr().err.split())
    places = [
        said.index(f"{words}")
        for words in ("Which model takes the least?", *(f"{model}: What does" for model in MODELS))
    ]
    assert places == sorted(places)
