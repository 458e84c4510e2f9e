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


@pytest.fixture(scope="session")
def sandboxed_processes() -> Callable[[], set[int]]:
    """A function that lists the sandboxed processes that this one started, and those that nobody owns any more.

    Other tests run their own beside these.
    """

    def running() -> set[int]:
        parents, sandboxed = {}, set()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes()
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it has just ended
                continue
            if command.startswith((b"/runtime/bin/python3", b"bwrap")):
                sandboxed.add(int(folder.name))
        return {pid for pid in sandboxed if _owner(pid, parents, sandboxed) in (os.getpid(), 1)}

    return running


def _owner(pid: int, parents: dict[int, int], sandboxed: set[int]) -> int:
    """The first ancestor that is not itself sandboxed."""
    while pid in sandboxed:
        pid = parents.get(pid, 1)
    return pid
