"""Nothing overlaps and nothing is cut in any page: wide and narrow, light and dark, and on paper."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from analysis.compare.runs import compare
from analysis.compare.with_paper import beside_paper
from analysis.report import write_report
from analysis.report.comparison import write_comparison
from analysis.report.paper_page import write_paper_page
from tests.analysis.compare.test_with_paper import run  # noqa: F401 -- a fixture
from tests.browser.layout import smallest_words_px, troubles_in, unfold
from tests.browser.pages import THEMES, Theme, opened
from tests.golden.world import LOADS, Sensor, World
from traces.atomic import read_json, write_json
from traces.layout import RunDir

WIDE, NARROW, PAPER = 1280, 390, 703  # CSS pixels; the last: A4 without its margins
READABLE_PX = 8.0
_FEW = ("bf16", "int8-bnb")
PAGES = ("measured", "estimated", "load test", "comparison", "no joules in common", "paper")


@pytest.fixture(scope="module")
def pages(
    tmp_path_factory: pytest.TempPathFactory,
    simulated: RunDir,
    report: Path,
    run: RunDir,  # noqa: F811
) -> dict[str, Path]:
    """One page of each kind, of simulated runs."""
    folder = tmp_path_factory.mktemp("layout")
    sensor = Sensor(source="modelled", boundary="cpu", device="engine")
    estimated = World(
        folder / "estimated", variants=_FEW, loads=LOADS[:2], blocks=2, engine_restarts="once", sensor=sensor
    ).build().run  # fmt: skip
    other = World(folder / "other-seed", variants=_FEW, loads=LOADS[:2]).build().run
    study = other.study.read_text(encoding="utf-8").replace("seed: 20", "seed: 21")
    other.study.write_text(study, encoding="utf-8")
    load = World(folder / "load", variants=("bf16",), loads=LOADS[1:2], blocks=1).build().run
    load.study.unlink()
    endpoint = {"url": "http://127.0.0.1:8000/v1", "model": "org/a-model-with-a-long-name"}
    write_json(load.manifest, {**read_json(load.manifest), "endpoint": endpoint})
    return {
        "measured": report,
        "estimated": write_report(estimated),
        "load test": write_report(load),
        "comparison": write_comparison(compare([simulated, other]), folder / "comparison.html"),
        "no joules in common": write_comparison(compare([simulated, estimated]), folder / "none.html"),
        "paper": write_paper_page(beside_paper(run), folder / "paper.html"),
    }


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", PAGES)
def test_on_a_screen_nothing_overlaps_and_nothing_is_cut(
    browser: Browser, pages: dict[str, Path], name: str, theme: Theme
) -> None:
    page, complaints = opened(browser, pages[name], theme)
    unfold(page)
    for width in (WIDE, NARROW):
        page.set_viewport_size({"width": width, "height": 900})
        assert troubles_in(page, width) == [], width
        assert smallest_words_px(page) >= READABLE_PX, width
    assert complaints == []
    page.context.close()


@pytest.mark.parametrize("name", PAGES)
def test_on_paper_nothing_overlaps_nothing_is_cut_and_what_was_folded_is_there(
    browser: Browser, pages: dict[str, Path], name: str
) -> None:
    page, _ = opened(browser, pages[name], "dark")
    page.set_viewport_size({"width": PAPER, "height": 900})
    page.emulate_media(media="print")
    assert troubles_in(page, PAPER) == []
    assert page.locator("table").evaluate_all(
        "all => all.every((one) => one.checkVisibility({contentVisibilityAuto: true}))"
    )
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.context.close()


def test_the_measure_finds_what_overlaps_and_what_is_cut(browser: Browser, pages: dict[str, Path]) -> None:
    page, _ = opened(browser, pages["measured"])
    page.set_viewport_size({"width": WIDE, "height": 900})
    spoil(page, "g[id*='legend_']", "one.setAttribute('transform', 'translate(0 60)')")
    spoil(page, "figure svg text", "one.textContent += ' and so on without an end'")
    spoil(page, "td", "one.style.whiteSpace = 'nowrap'; one.style.paddingLeft = '20rem'")
    found = troubles_in(page, WIDE)
    assert any("legend_1 over" in one for one in found)
    assert any(" and so on without an end over " in one for one in found)
    assert any(" in 1168: " in one for one in found), "the width of the page's column"
    page.context.close()


def spoil(page: Page, selector: str, how: str) -> None:
    """Change every such element."""
    page.locator(selector).evaluate_all(f"all => all.forEach((one) => {{ {how} }})")
