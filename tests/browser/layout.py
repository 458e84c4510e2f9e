"""What is measured of a page that is drawn: words over words, legends over marks, and what is cut off."""

from __future__ import annotations

import math
from typing import Any

from playwright.sync_api import Page

_CORNERS = """
const corners = (element) => {  // of what is written or drawn, turned as it is, a little smaller than its line
  const box = element.getBBox(), matrix = element.getScreenCTM(), trim = box.height * 0.15;
  return [[box.x, box.y + trim], [box.x + box.width, box.y + trim],
          [box.x + box.width, box.y + box.height - trim], [box.x, box.y + box.height - trim]]
    .map(([x, y]) => new DOMPoint(x, y).matrixTransform(matrix));
};
const apart = (one, other) => [one, other].some((shape) => shape.some((corner, k) => {  // separating axes
  const next = shape[(k + 1) % 4], normal = [next.y - corner.y, corner.x - next.x];
  const reach = (points) => points.map((point) => point.x * normal[0] + point.y * normal[1]);
  const [first, second] = [reach(one), reach(other)];
  return Math.max(...first) <= Math.min(...second) + 1e-6 || Math.max(...second) <= Math.min(...first) + 1e-6;
}));
"""

_WORDS_OVER_WORDS = (
    "svg => {"
    + _CORNERS
    + """
  const texts = [...svg.querySelectorAll("text")].filter((one) => one.textContent.trim());
  const shapes = texts.map(corners), found = [];
  texts.forEach((one, k) => texts.slice(k + 1).forEach((other, l) => {
    if (!apart(shapes[k], shapes[k + 1 + l])) found.push(`${one.textContent} over ${other.textContent}`);
  }));
  return found;
}"""
)
_LEGEND_OVER_MARKS = """svg => {
  const rect = (element) => element.getBoundingClientRect();
  const legends = [...svg.querySelectorAll("g[id*='legend_']")];
  const marks = [...svg.querySelectorAll("g[id*='axes_'] path, g[id*='axes_'] use, g[id*='axes_'] text")]
    .filter((one) => !one.closest("defs, clipPath, g[id*='legend_']"));
  return legends.flatMap((legend) => marks.filter((mark) => {
    const [one, other] = [rect(legend), rect(mark)];
    const beside = one.left >= other.right || other.left >= one.right;
    return !beside && one.top < other.bottom - 0.5 && other.top < one.bottom - 0.5;
  }).map((mark) => `${legend.id} over ${mark.closest("g[id]").id}`));
}"""
_WORDS_CUT = """svg => {
  const whole = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("text")].filter((one) => {
    const box = one.getBoundingClientRect();
    const across = box.left < whole.left - 1 || box.right > whole.right + 1;
    return across || box.top < whole.top - 1 || box.bottom > whole.bottom + 1;
  }).map((one) => one.textContent);
}"""
_SMALLEST_WORDS = """svg => Math.min(...[...svg.querySelectorAll("text")].filter((one) => one.textContent.trim()).map(
  (one) => parseFloat(getComputedStyle(one).fontSize) * Math.hypot(one.getScreenCTM().a, one.getScreenCTM().b)
))"""
_TABLES_CUT = """all => all.filter((one) => one.scrollWidth > one.clientWidth + 1)
  .map((one) => `${one.scrollWidth} in ${one.clientWidth}: ${one.getAttribute("aria-label")}`)"""
_UNFOLD = "all => all.forEach((one) => { one.open = true; })"


def unfold(page: Page) -> None:
    """Open everything that is folded."""
    page.locator("details").evaluate_all(_UNFOLD)


def troubles_in(page: Page, width: int) -> list[Any]:
    """List all that overlaps or is cut, in words; empty where nothing is."""
    found: list[Any] = page.locator("[role=region]").evaluate_all(_TABLES_CUT)
    whole = page.evaluate("document.documentElement.scrollWidth")
    found += [f"the page is {whole} wide in {width}"] if whole > width else []
    for figure in page.locator("figure svg").all():
        for script in (_WORDS_OVER_WORDS, _LEGEND_OVER_MARKS, _WORDS_CUT):
            found += figure.evaluate(script)
    return found


def smallest_words_px(page: Page) -> float:
    """How high the smallest letters of any figure are, in CSS pixels; infinite where there is no figure."""
    return min(
        (figure.evaluate(_SMALLEST_WORDS) for figure in page.locator("figure svg").all()), default=math.inf
    )
