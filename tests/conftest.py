"""What holds for all tests."""

from __future__ import annotations

import gc
import os
import sys

import pytest

from server.engines.toolchain import computes_on_the_cpu
from tests.support.command import end_started
from tests.support.host_boards import HostBoards
from tests.support.longest import dealt, workers_of_this_run

HOST_BOARDS = HostBoards()
SLOW_TO_IMPORT = ("torch", "transformers", "vllm")
IMPORTED = pytest.StashKey[list[str]]()
"""Those of them that collecting the tests imported."""


def pytest_configure() -> None:
    """Collect without the machine's boards, and without what set-up was told of them; keep what is compiled.

    Else each of some thousand processes that tests start would compile all of its code again.
    """
    os.environ.pop("STARWATT_TARGET", None)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    HOST_BOARDS.hide()


@pytest.hookimpl(trylast=True)  # of those that were selected
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest tests begin first."""
    order = dealt([item.nodeid for item in items], workers_of_this_run())
    items[:] = [items[number] for number in order]


def pytest_collection() -> None:
    """Leave the garbage collector out while thousands of tests are made: nothing of them goes away."""
    gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Let it never look through them again, seldom for young cycles, and keep what was imported for the tests."""
    session.config.stash[IMPORTED] = [name for name in SLOW_TO_IMPORT if name in sys.modules]
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Show the machine's boards to the tests of a real engine that computes on them, and to no other."""
    if item.get_closest_marker("live") and not computes_on_the_cpu():
        HOST_BOARDS.show()
    else:
        HOST_BOARDS.hide()


def pytest_runtest_teardown() -> None:
    """Let no command that a test started go on beside the next, whatever became of the test."""
    end_started()


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    HOST_BOARDS.close()


def pytest_make_parametrize_id(config: pytest.Config, val: object) -> str | None:
    """Name bytes by their length: packed ones differ between the processes that collect the same tests."""
    return f"{len(val)} bytes" if isinstance(val, bytes) else None
