"""Tests that run candidates need bubblewrap: skipped without it, but never where CI promises it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.grading import sandbox_status


@pytest.fixture(scope="session")
def sandbox() -> None:
    """The sandbox works here."""
    status = sandbox_status()
    if status.ok:
        return
    message = f"{status.reason} ({status.remedy})"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def answers_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for the expected outputs of all tests."""
    return tmp_path_factory.mktemp("grading-cache")


@pytest.fixture
def sandboxed_processes() -> Callable[[], set[int]]:
    """A function that lists the processes, seen from outside, that run the sandbox's interpreter."""

    def running() -> set[int]:
        found = set()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes()
            except OSError:  # it has just ended
                continue
            if command.startswith(b"/runtime/bin/python3"):
                found.add(int(folder.name))
        return found

    return running
