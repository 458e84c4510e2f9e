"""A machine with one board."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.machine import Machine, machine
from tests.server.power.conftest import nvml_library  # noqa: F401 -- a fixture


@pytest.fixture
def world(tmp_path: Path, nvml_library: Path) -> Iterator[Machine]:  # noqa: F811
    """A simulated board, which this test alone uses."""
    with machine(tmp_path / "machine", nvml_library) as made:
        yield made
