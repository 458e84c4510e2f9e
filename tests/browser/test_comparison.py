"""The page of `starwatt compare` as a reader sees it."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from analysis.compare.runs import compare
from analysis.compare.with_paper import beside_paper
from analysis.report.comparison import write_comparison
from analysis.report.paper_page import write_paper_page
from tests.analysis.compare.test_with_paper import run  # noqa: F401 -- a fixture
from tests.browser.pages import READABLE, THEMES, Theme, contrast, is_dark, opened
from tests.golden.world import World
from traces.layout import RunDir


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two simulated runs, of which the second has fewer tasks solved."""
    folder = tmp_path_factory.mktemp("compared")
    runs = [
        World(folder / name, variants=("bf16", "int8-bnb"), solved=solved).build().run
        for name, solved in (
            ("before", {"bf16": 1.0, "int8-bnb": 0.75}),
            ("after", {"bf16": 1.0, "int8-bnb": 0.5}),
        )
    ]
    return write_comparison(compare(runs), folder / "comparison.html")


@pytest.mark.parametrize("theme", THEMES)
def test_nothing_is_complained_of_the_figure_is_there_and_words_can_be_read(
    browser: Browser, comparison: Path, theme: Theme
) -> None:
    page, troubles = opened(browser, comparison, theme)
    box = page.locator("figure svg").bounding_box()
    assert box is not None
    assert box["width"] > 300
    assert is_dark(page) == (theme == "dark")
    for selector in ("h1", "main li", ".soft", "td", "figcaption"):
        assert contrast(page, selector) >= READABLE, selector
    assert troubles == []


def test_every_table_can_be_reached_by_keyboard(browser: Browser, comparison: Path) -> None:
    page, _ = opened(browser, comparison)
    names = page.locator("[role=region]").evaluate_all(
        "all => all.map(one => one.getAttribute('aria-label'))"
    )
    reached = set()
    for _ in range(page.locator("a, button, [tabindex]").count()):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.getAttribute('aria-label')"))
    assert len(names) >= 2
    assert reached >= set(names)


def test_a_narrow_screen_scrolls_tables_not_the_page(browser: Browser, comparison: Path) -> None:
    page, _ = opened(browser, comparison)
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("theme", THEMES)
def test_the_page_beside_the_paper_is_read_like_the_others(
    browser: Browser,
    run: RunDir,  # noqa: F811
    tmp_path: Path,
    theme: Theme,
) -> None:
    page, troubles = opened(browser, write_paper_page(beside_paper(run), tmp_path / "paper.html"), theme)
    box = page.locator("figure svg").bounding_box()
    assert box is not None
    assert box["width"] > 300
    assert is_dark(page) == (theme == "dark")
    for selector in ("h1", "main li", ".soft", "td", "dd", "figcaption"):
        assert contrast(page, selector) >= READABLE, selector
    assert page.locator("[role=region]:not([tabindex])").count() == 0
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert troubles == []
