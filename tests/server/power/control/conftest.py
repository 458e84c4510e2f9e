"""Two simulated boards that this process may set, and a place of its own for what they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden.nvml.world import GoldenBoards
from tests.server.power.conftest import A, B, nvml, nvml_here, nvml_library  # noqa: F401 -- fixtures

BOTH = (A, B)


@pytest.fixture
def boards(nvml_here: GoldenBoards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GoldenBoards:  # noqa: F811
    """The boards A and B, at 700 W and not locked."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return nvml_here


def as_found(boards: GoldenBoards) -> bool:
    """Whether both are at 700 W and not locked."""
    return [boards.limit_of(0), boards.limit_of(1)] == [(700.0, 0)] * 2
