"""A machine with two boards, for what runs on both at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.machine import BOARDS, Machine, machine
from tests.server.power.conftest import nvml_library  # noqa: F401 -- a fixture

UUIDS = ("GPU-00000000-c0de", "GPU-11111111-c0de")


@pytest.fixture
def world(tmp_path: Path, nvml_library: Path) -> Iterator[Machine]:  # noqa: F811
    """Two simulated boards, which this test alone uses."""
    boards = [replace(BOARDS[0], uuid=uuid) for uuid in UUIDS]
    with machine(tmp_path / "machine", nvml_library, boards=boards) as made:
        yield made
