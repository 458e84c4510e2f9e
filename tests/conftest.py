"""What holds for all tests."""

from __future__ import annotations

import os

import pytest

from server.engines.toolchain import computes_on_the_cpu
from tests.support.host_boards import HostBoards

HOST_BOARDS = HostBoards()


def pytest_configure() -> None:
    """Collect without the machine's boards, and without what set-up was told of them."""
    os.environ.pop("STARWATT_TARGET", None)
    HOST_BOARDS.hide()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Show the machine's boards to the tests of a real engine that computes on them, and to no other."""
    if item.get_closest_marker("live") and not computes_on_the_cpu():
        HOST_BOARDS.show()
    else:
        HOST_BOARDS.hide()


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    HOST_BOARDS.close()


def pytest_make_parametrize_id(config: pytest.Config, val: object) -> str | None:
    """Name bytes by their length: packed ones differ between the processes that collect the same tests."""
    return f"{len(val)} bytes" if isinstance(val, bytes) else None
