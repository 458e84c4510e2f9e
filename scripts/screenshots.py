"""Pictures of what people see, for the README and the docs: ``python -m scripts.screenshots [RUN] [--out DIR]``.

Without RUN the report and the comparison are of simulated runs (``tests/golden``): their joules are invented, and
whoever shows the pictures has to say so. With RUN the report is that run's own. Each comes light and dark, from the
system's Chromium; nothing is asked of the network.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from playwright.sync_api import Browser, FloatRect, Page, sync_playwright

from analysis.compare.runs import compare
from analysis.opened import open_run
from analysis.report import page_of
from analysis.report.comparison import write_comparison
from starwatt_errors import StarwattError
from tests.golden.engine import Load
from tests.golden.world import World
from traces.atomic import write_text
from traces.layout import RunDir

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
WIDTH, HEIGHT = 1000, 640  # CSS pixels of a window; one of the picture each, so that files stay small
AROUND = 16  # an element, in pixels
MOST_BYTES = 150_000
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
MORE = MappingProxyType({"block 1": 1.07, "block 2": 1.12, "block 3": 1.10})
_LOADS = (
    Load("single-stream"),
    Load("closed-4", concurrency=4),
    Load("closed-16", concurrency=16),
    Load("open-4-poisson", qps=4.0),
)


@dataclass(frozen=True)
class Shot:
    """One picture: the top of a page, or the whole first row of its elements that a selector finds."""

    name: str
    page: Path
    of: str | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Take the pictures and print where they are."""
    parser = argparse.ArgumentParser(description="Pictures of the report and the comparison, light and dark.")
    parser.add_argument("run", nargs="?", type=Path, help="a run directory; without it a simulated run")
    parser.add_argument("--out", type=Path, default=IMAGES, help="default: docs/images")
    given = parser.parse_args(arguments)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.stderr.write("there is no Chromium here: make browser installs Debian's\n")
        return 1
    try:
        with tempfile.TemporaryDirectory() as folder, _browser(chromium) as browser:
            for path in take(browser, shots(Path(folder), given.run), given.out):
                sys.stdout.write(f"{path}\n")
    except StarwattError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def shots(folder: Path, run: Path | None) -> list[Shot]:
    """The pages, made in ``folder``, and what of them is shown.

    Raises:
        TraceError: ``run`` holds no cell, or its traces do not read.
    """
    first, second = _simulated(folder / "simulated"), _simulated(folder / "simulated-again", MORE)
    shown = first if run is None else RunDir(run)
    open_run(shown)
    report = folder / "report.html"  # not the run's own
    write_text(report, page_of(shown))
    comparison = write_comparison(compare([first, second]), folder / "comparison.html")
    return [
        Shot("report", report),
        Shot("report-figures", report, "figure"),
        Shot("comparison", comparison, "figure"),
    ]


def take(browser: Browser, wanted: Sequence[Shot], out: Path) -> Iterator[Path]:
    """Write ``NAME-THEME.png`` of each, and say where."""
    out.mkdir(parents=True, exist_ok=True)
    for shot in wanted:
        for theme in THEMES:
            context = browser.new_context(color_scheme=theme, viewport={"width": WIDTH, "height": HEIGHT})
            page = context.new_page()
            page.goto(shot.page.resolve().as_uri())
            path = out / f"{shot.name}-{theme}.png"
            page.screenshot(path=path, animations="disabled", full_page=True, clip=_clip(page, shot.of))
            context.close()
            yield path


def _clip(page: Page, of: str | None) -> FloatRect:
    """What of a page is shown; elements in one row are of one height."""
    box = None if of is None else page.locator(of).first.bounding_box()
    if box is None:
        return {"x": 0, "y": 0, "width": WIDTH, "height": HEIGHT}
    return {"x": 0, "y": box["y"] - AROUND, "width": WIDTH, "height": box["height"] + 2 * AROUND}


@contextmanager
def _browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Chromium's own sandbox does not start as root; what it opens here are our own files.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        browser.close()


def _simulated(folder: Path, draws: Mapping[str, float] = MappingProxyType({})) -> RunDir:
    """A run of the golden world: three variants, four loads, three blocks; ``draws``: each block's machine, and by what
    factor its power is that of the first."""
    place = (lambda key: f"block {key.block}") if draws else None
    return World(folder, loads=_LOADS, memorised=False, nodes=dict(draws), place=place).build().run


if __name__ == "__main__":
    raise SystemExit(main())
