"""Two simulated machines whose joules are known, so that what one costs over the other is known too."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.golden import world as golden
from tests.golden.engine import Model
from tests.golden.world import World

VARIANTS = ("bf16", "int8-bnb")


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, World]:
    """Two machines: the second one's bf16 takes half as much again for a step, and int8 solves fewer tasks."""
    folder = tmp_path_factory.mktemp("compare")
    first = World(folder / "first", variants=VARIANTS, jitter=0.002).build()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(golden.ENGINES, "bf16", replace(Model(), step_j=Model().step_j * 1.5))
        solved = {"bf16": 1.0, "int8-bnb": 0.25}
        second = World(
            folder / "second",
            variants=(*VARIANTS, "pruned-last-1"),
            solved={**solved, "pruned-last-1": 0},
            jitter=0.002,
        )
        second.build()
    return first, second
