"""A world that is cheap to damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden.world import World


@pytest.fixture
def small(tmp_path: Path) -> World:
    """One variant, two loads, one block: cheap to damage."""
    world = World(tmp_path / "run", variants=("bf16",), blocks=1)
    world.loads = world.loads[:2]
    return world.build()
