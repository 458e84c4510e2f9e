"""The report as a reader sees it: in Chromium, by keyboard, light and dark, on paper, and large."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Browser, expect

from analysis.report import write_report
from analysis.tables import analyze, read_table
from tests.browser.layout import unfold
from tests.browser.pages import READABLE, THEMES, Theme, contrast, is_dark, opened
from tests.golden.world import World

MOST_BYTES, MOST_S = 6_000_000, 2.0


@pytest.mark.parametrize("theme", THEMES)
def test_nothing_is_complained_of_and_every_figure_is_there(
    browser: Browser, report: Path, theme: Theme
) -> None:
    page, troubles = opened(browser, report, theme)
    figures = page.locator("figure svg")
    assert figures.count() == 6
    for k in range(figures.count()):
        box = figures.nth(k).bounding_box()
        assert box is not None
        assert box["width"] > 300
        assert box["height"] > 80
    assert troubles == []


@pytest.mark.parametrize("theme", THEMES)
def test_words_can_be_read_in_both_themes(browser: Browser, report: Path, theme: Theme) -> None:
    page, _ = opened(browser, report, theme)
    assert is_dark(page) == (theme == "dark")
    for selector in ("h1", "main li", ".soft", "td", "figcaption"):
        assert contrast(page, selector) >= READABLE, selector


def test_every_table_can_be_reached_and_scrolled_by_keyboard(browser: Browser, report: Path) -> None:
    page, _ = opened(browser, report)
    unfold(page)
    names = page.locator("[role=region]").evaluate_all(
        "all => all.map(one => one.getAttribute('aria-label'))"
    )
    assert len(names) > 5
    reached, last = [], None
    for _ in range(page.locator("a, button, summary, [tabindex]").count()):
        page.keyboard.press("Tab")
        last = page.evaluate("document.activeElement.getAttribute('aria-label')")
        reached.append(last)
    assert set(names) <= set(reached)


def test_a_column_is_sorted_by_its_head_and_without_script_the_page_is_whole(
    browser: Browser, report: Path
) -> None:
    page, troubles = opened(browser, report)
    column = page.locator("#latency ~ .scroll table.sorts tbody td:nth-child(3)")
    before = [float(text.replace("\N{NO-BREAK SPACE}", "")) for text in column.all_inner_texts()]
    head = page.locator("#latency ~ .scroll table.sorts thead th").nth(2)
    for order, backwards in (("ascending", False), ("descending", True)):
        head.locator("button").press("Enter")
        after = [float(text.replace("\N{NO-BREAK SPACE}", "")) for text in column.all_inner_texts()]
        assert after == sorted(before, reverse=backwards)
        assert head.get_attribute("aria-sort") == order
    assert before != sorted(before)
    assert troubles == []
    plain = browser.new_context(java_script_enabled=False).new_page()
    plain.goto(report.resolve().as_uri())
    assert plain.locator("thead button").count() == 0
    plain.locator("summary").first.press("Enter")
    assert plain.locator("details[open]").count() == 1


def test_a_link_to_what_is_folded_opens_it(browser: Browser, report: Path) -> None:
    page, _ = opened(browser, report)
    for link in page.locator("nav a").all():
        link.click()
        target = (link.get_attribute("href") or "").removeprefix("#")
        assert page.locator(f"[id='{target}']").is_visible()
    # The page hears of a link in its own time.
    expect(page.locator("details:not([open]) > summary > h2")).to_have_count(0)


def test_a_screen_reader_finds_headings_in_order_and_names_for_figures(
    browser: Browser, report: Path
) -> None:
    page, _ = opened(browser, report)
    levels = [
        int(name[1]) for name in page.locator("h1, h2, h3").evaluate_all("all => all.map(one => one.tagName)")
    ]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    tree = page.locator("body").aria_snapshot()
    assert len(re.findall(r"\bimg \"", tree)) == 6
    assert "- main" in tree


def test_a_narrow_screen_scrolls_tables_not_the_page(browser: Browser, report: Path) -> None:
    page, _ = opened(browser, report)
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_it_prints(browser: Browser, report: Path, tmp_path: Path) -> None:
    page, _ = opened(browser, report)
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    page.emulate_media(media="print")
    assert page.locator(".scroll").first.evaluate("one => getComputedStyle(one).overflowX") == "visible"


def _copy(table: pa.Table, variant: str, block: int) -> pa.Table:
    """The rows, as those of another variant and block."""
    columns = {"variant": pa.array([variant] * table.num_rows)}
    if "block" in table.column_names:
        columns["block"] = pa.array([block] * table.num_rows, pa.int32())
    for name, column in columns.items():
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def test_a_thousand_cells_stay_small_and_open_quickly(browser: Browser, tmp_path: Path) -> None:
    run = World(tmp_path / "run", variants=("bf16",), blocks=1).build().run
    analyze(run)
    for name, blocks in (("cells", 10), ("contrasts", 1)):
        table = read_table(run, name)
        copies = [_copy(table, f"v{k}", block) for k in range(34) for block in range(1, blocks + 1)]
        pq.write_table(pa.concat_tables(copies).cast(table.schema), run.table(name))
    path = write_report(run)
    cells = read_table(run, "cells")
    assert len({tuple(row.values()) for row in cells.select(["variant", "load", "block"]).to_pylist()}) > 1000
    assert path.stat().st_size < MOST_BYTES
    page, troubles = opened(browser, path)
    timing = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    assert timing < MOST_S * 1000
    assert troubles == []
