"""Several machines in the golden world: their difference is found, and kept out of what is compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.report import page_of
from analysis.tables import analyze, read_table
from analysis.verify.run import verify
from tests.golden.engine import Load
from tests.golden.world import MODEL_NAME, World
from traces.layout import CellKey, RunDir

NODES = {"n1": 1.0, "n2": 1.12, "n3": 0.93}


def by_block(key: CellKey) -> str:
    """A whole block on one node."""
    return f"n{1 + key.block % 3}"


def world(root: Path, place: Any, blocks: int = 6) -> World:
    """Two variants and two loads."""
    built = World(root / "run", variants=("bf16", "int8-bnb"), blocks=blocks, nodes=NODES, place=place)
    built.loads = (Load("single-stream"), Load("closed-8", concurrency=8))
    return built.build()


def ratio(run: RunDir, load: str = "closed-8") -> dict[str, Any]:
    """What int8-bnb costs over bf16."""
    rows = read_table(run, "contrasts").to_pylist()
    [found] = [r for r in rows if r["metric"] == "j_per_request_ratio" and r["load"] == load]
    return dict(found)


def true_ratio(built: World, blocks: range) -> float:
    """By the world's own joules, of cells that shared a node."""
    logs = [
        np.log(built.truth[CellKey(MODEL_NAME, "int8-bnb", "closed-8", block)].j_per_request)
        - np.log(built.truth[CellKey(MODEL_NAME, "bf16", "closed-8", block)].j_per_request)
        for block in blocks
    ]
    return float(np.exp(np.mean(logs)))


def test_the_difference_of_nodes_is_found_and_is_in_no_contrast_within_a_block(tmp_path: Path) -> None:
    built = world(tmp_path, by_block)
    analyze(built.run)
    table = read_table(built.run, "nodes").to_pylist()
    ratios = {row["node"]: row for row in table if row["metric"] == "node_ratio"}
    mean = float(np.exp(np.mean(np.log(list(NODES.values())))))
    for name, more in NODES.items():
        assert ratios[name]["value"] == pytest.approx(more / mean, rel=0.02)
        assert ratios[name]["lo"] < ratios[name]["value"] < ratios[name]["hi"]
        assert ratios[name]["blocks"] == 2
    idle = {row["node"]: row["value"] for row in table if row["metric"] == "power_idle_w"}
    assert idle["n2"] / idle["n1"] == pytest.approx(1.12, rel=0.01)
    contrast = ratio(built.run)
    assert contrast["value"] == pytest.approx(true_ratio(built, range(1, 7)), rel=0.01)
    assert contrast["hi"] / contrast["lo"] < 1.05, "a node's 12 % is not in it"
    assert contrast["reasons"] == []
    drift = [row for row in read_table(built.run, "contrasts").to_pylist() if row["contrast"] == "drift"]
    assert drift == [], "blocks on several nodes are no sequence in time"
    assert "The nodes:" in page_of(built.run)
    assert not [finding for finding in verify(built.run).findings if finding.kind == "table_differs"]


def test_a_block_that_was_split_between_nodes_is_left_out(tmp_path: Path) -> None:
    def place(key: CellKey) -> str:
        return "n2" if key.block == 3 and key.variant == "int8-bnb" else "n1"

    built = world(tmp_path, place, blocks=5)
    analyze(built.run)
    contrast = ratio(built.run)
    assert contrast["blocks"] == 3  # the world's fourth is aliased
    assert contrast["reasons"] == ["nodes_differ"]
    assert contrast["lo"] is not None
    assert contrast["value"] == pytest.approx(true_ratio(built, range(1, 3)), rel=0.01)


def test_variants_on_nodes_of_their_own_get_a_ratio_without_an_interval(tmp_path: Path) -> None:
    built = world(tmp_path, lambda key: "n1" if key.variant == "bf16" else "n2", blocks=3)
    analyze(built.run)
    contrast = ratio(built.run)
    assert contrast["reasons"] == ["node_confounded"]
    assert contrast["value"] == pytest.approx(true_ratio(built, range(1, 4)), rel=0.01)
    assert (contrast["lo"], contrast["hi"], contrast["interval_kind"]) == (None, None, None)
    rows = read_table(built.run, "nodes").to_pylist()
    differences = [row for row in rows if row["metric"] == "node_ratio"]
    assert {row["value"] for row in differences} == {None}
    assert all(row["reasons"] == ["node_confounded"] for row in differences)
    batched = [
        row for row in read_table(built.run, "contrasts").to_pylist() if row["metric"] == "energy_factor"
    ]
    assert all(row["lo"] is not None for row in batched), "loads of one variant met on one node"


def test_a_run_on_one_machine_has_no_table_of_nodes(tmp_path: Path) -> None:
    built = world(tmp_path, lambda _: "n1", blocks=1)
    analyze(built.run)
    assert not built.run.table("nodes").exists()
    assert "The nodes:" not in page_of(built.run)
