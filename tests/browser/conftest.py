"""A real Chromium: the system's, driven by Playwright; nothing is downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from analysis.report import write_report
from tests.golden.world import World
from traces.layout import RunDir


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for a file; CI has to have it, others may not.

    No longer: while it is open Playwright's event loop runs in this thread, and no other test could start one.
    """
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        reason = "no Chromium here: make browser installs Debian's"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        # Chromium's own sandbox does not start as root; what it opens here is our own file.
        running = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        yield running
        running.close()


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A simulated run with three variants, three loads and three blocks."""
    return World(tmp_path_factory.mktemp("browser") / "run").build().run


@pytest.fixture(scope="session")
def report(simulated: RunDir) -> Path:
    """Its report."""
    return write_report(simulated)
