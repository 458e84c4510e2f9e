"""Intervals of whole studies hold what really happened, under every kind of load: simulated, traces and all."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.contrasts.statistics import paired_ratio
from analysis.tables import compute
from tests.golden.world import LOADS, World
from traces.layout import CellKey

BLOCKS = 60
VARIANTS = ("bf16", "int8-bnb")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Sixty blocks, whose watts scatter by 3 %: twenty studies of three."""
    root = tmp_path_factory.mktemp("coverage") / "run"
    return World(root, VARIANTS, blocks=BLOCKS, tasks=10, jitter=0.03).build()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_intervals_of_cells_and_of_ratios_hold_the_truth_as_often_as_they_say(world: World) -> None:
    found = {
        CellKey(row["model"], row["variant"], row["load"], row["block"]): row
        for row in compute(world.run).tables["cells"].to_pylist()
        if row["metric"] == "j_per_request" and row["valid"]
    }
    held = [row["lo"] <= world.truth[key].j_per_request <= row["hi"] for key, row in found.items()]
    assert np.mean(held) > 0.93
    studies: list[bool] = []
    for load in (load.slug for load in LOADS):
        pairs = {
            block: tuple(CellKey(world.models[0], variant, load, block) for variant in reversed(VARIANTS))
            for block in range(1, BLOCKS + 1)
        }
        truths = [
            math.log(world.truth[over].j_per_request / world.truth[under].j_per_request)
            for over, under in pairs.values()
        ]
        valid = [pair for pair in pairs.values() if set(pair) <= found.keys()]
        for first in range(0, len(valid) - 2, 3):
            sides = [[found[pair[side]]["value"] for pair in valid[first : first + 3]] for side in (0, 1)]
            estimate = paired_ratio(*sides)
            assert estimate.bounds is not None
            studies.append(estimate.bounds[0] <= math.exp(np.mean(truths)) <= estimate.bounds[1])
    assert len(studies) > 40
    assert np.mean(studies) > 0.85  # 95 % of 50: below with a chance of one in a hundred
