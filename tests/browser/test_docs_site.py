"""The built documentation as a reader sees it: every page, by keyboard, light and dark, and nothing from elsewhere."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.pages import READABLE, THEMES, Theme, blank, contrast, is_dark, opened
from tests.support.busy import PATIENCE_S

ROOT = Path(__file__).resolve().parent.parent.parent
_LINKS = "all => all.map(one => one.href)"
_BROKEN = "all => all.filter(one => !(one.complete && one.naturalWidth)).map(one => one.src)"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE_S,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    """The site behind a web server of this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its name there
            """Say nothing."""

    handler = functools.partial(Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def pages(site: Path) -> list[Path]:
    """Every page; 404.html, whose links are a server's, is not opened as a file."""
    return sorted(page for page in site.rglob("*.html") if page.name != "404.html")


def names_in(page: Path) -> set[str]:
    """What a link may point at within a page."""
    return set(re.findall(r'\b(?:id|name)="([^"]+)"', page.read_text(encoding="utf-8"))) | {""}


def test_no_page_complains_asks_elsewhere_or_has_a_dead_link_or_image(browser: Browser, site: Path) -> None:
    page, troubles = blank(browser)
    names = {path: names_in(path) for path in pages(site)}
    assert len(names) > 40
    for path in names:
        page.goto(path.as_uri())
        assert page.locator("article h1").count() == 1, path
        assert page.locator("img").evaluate_all(_BROKEN) == [], path
        for link in page.locator("a[href]").evaluate_all(_LINKS):
            target = urlsplit(link)
            if target.scheme != "file":
                continue
            meant = Path(unquote(target.path))
            assert meant.is_file(), f"{path}: {link}"
            if meant in names:
                assert unquote(target.fragment) in names[meant], f"{path}: {link}"
        assert troubles == [], path


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", ["index", "how-to", "reference/command-line", "measurement"])
def test_words_can_be_read_in_both_themes(browser: Browser, site: Path, name: str, theme: Theme) -> None:
    page, troubles = opened(browser, site / f"{name}.html", theme)
    assert is_dark(page) == (theme == "dark")
    for selector in ("article h1", "article p", "article p a", "article code", ".md-nav__link"):
        if page.locator(selector).count():
            assert contrast(page, selector) >= READABLE, selector
    assert troubles == []


def test_the_keyboard_reaches_every_page_of_the_navigation_and_opens_it(browser: Browser, site: Path) -> None:
    page, troubles = opened(browser, site / "index.html")
    page.set_viewport_size({"width": 1400, "height": 900})
    wanted = page.locator(".md-nav--primary a.md-nav__link[href]").evaluate_all(_LINKS)
    assert len(set(wanted)) >= 15
    reached: list[str] = []
    for _ in range(len(wanted) + 20):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.href || ''"))
    assert reached[0].endswith("#starwatt")  # skip to the content, before all else
    assert set(wanted) - {one.split("#")[0] for one in reached} == set()
    page.locator(".md-nav--primary a[href$='how-to.html']").focus()
    page.keyboard.press("Enter")
    expect(page.locator("article h1")).to_contain_text("How to", timeout=60_000)
    assert troubles == []


@pytest.mark.parametrize("served", [True, False], ids=["served", "opened as a file"])
def test_the_search_finds_a_page_by_keyboard(
    browser: Browser, site: Path, address: str, served: bool
) -> None:
    page, troubles = blank(browser)
    page.goto(f"{address}/index.html" if served else (site / "index.html").as_uri())
    page.keyboard.press("/")
    page.keyboard.type("bubblewrap")
    expect(page.locator(".md-search-result__item").first).to_be_visible(timeout=60_000)
    assert troubles == []


def test_a_narrow_screen_scrolls_what_is_wide_not_the_page(browser: Browser, site: Path) -> None:
    page, _ = blank(browser)
    page.set_viewport_size({"width": 390, "height": 800})
    for name in ("index", "reference/command-line", "reference/configuration", "variants", "design"):
        page.goto((site / f"{name}.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name


def test_tables_fit_a_screen(browser: Browser, site: Path) -> None:
    page, _ = blank(browser)
    page.set_viewport_size({"width": 1280, "height": 900})
    for name in ("variants", "measurements/demo-cpu", "measurements/h200", "troubleshooting"):
        page.goto((site / f"{name}.html").as_uri())
        wide = page.locator(".md-typeset__table").evaluate_all(
            "all => all.filter(one => one.scrollWidth > one.parentElement.clientWidth).map(one => one.innerText)"
        )
        assert wide == [], name
