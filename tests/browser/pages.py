"""What every test of a page asks: what the browser complained of, whom it asked, and whether words can be read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page

Theme = Literal["dark", "light"]
THEMES: tuple[Theme, ...] = ("light", "dark")
READABLE = 4.5
"""Contrast of text to its ground (WCAG 2.2, level AA)."""
_OWN = ("file:", "data:", "blob:", "http://127.0.0.1:")


def blank(browser: Browser, theme: Theme = "light") -> tuple[Page, list[str]]:
    """An empty page, and the list of what the browser complains of or asks another host for from now on."""
    page = browser.new_context(color_scheme=theme).new_page()
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text) if message.type != "log" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(_OWN) else troubles.append(request.url))
    return page, troubles


def opened(browser: Browser, path: Path, theme: Theme = "light") -> tuple[Page, list[str]]:
    """The page of a file, as ``blank`` gives it."""
    page, troubles = blank(browser, theme)
    page.goto(path.resolve().as_uri())
    return page, troubles


def luminance(colour: tuple[float, ...]) -> float:
    """Relative luminance of red, green and blue, 0 to 255 (WCAG 2.2)."""
    parts = [part / 255 for part in colour[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def colour_of(css: str) -> tuple[float, ...]:
    """Red, green, blue and opacity of ``rgb(…)`` or ``rgba(…)``."""
    parts = [float(part) for part in re.findall(r"[\d.]+", css)]
    return (*parts[:3], parts[3] if len(parts) > 3 else 1.0)


def ground(page: Page) -> tuple[float, ...]:
    """The page's own colour."""
    return colour_of(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def contrast(page: Page, selector: str) -> float:
    """Of the first such element's text against the page."""
    css = page.locator(selector).first.evaluate("element => getComputedStyle(element).color")
    behind, own = ground(page), colour_of(css)
    seen = tuple(own[3] * mine + (1 - own[3]) * back for mine, back in zip(own[:3], behind[:3], strict=True))
    bright, dark = sorted((luminance(seen), luminance(behind)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def is_dark(page: Page) -> bool:
    """Whether the page's ground is."""
    return luminance(ground(page)) < 0.2
