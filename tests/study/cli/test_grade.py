"""``starwatt grade RUN --json`` on a run whose verdicts are known."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from study.cli.app import app
from tests.golden.world import World
from traces.atomic import read_json, write_json


def test_pass_at_k_is_given_for_every_cell_and_for_all_blocks_together(tmp_path: Path) -> None:
    world = World(tmp_path / "run", variants=("bf16",), blocks=2)
    world.loads = world.loads[:2]
    world.build()
    write_json(world.run.manifest, {**read_json(world.run.manifest), "dataset": {"name": "starwatt-24"}})
    done = CliRunner().invoke(app, ["grade", str(world.run.root), "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    share = world.solved["bf16"]
    assert (result["cells"], result["completions"]) == (0, 0)
    assert result["pass_at_1"] == {"base": share, "plus": share}
    assert len(result["grades"]) == 4 * world.tasks
    assert {"model", "variant", "load", "block", "task_id", "sample", "base", "plus", "reason"} <= set(
        result["grades"][0]
    )
    by_block = {(row["variant"], row["load"], row["block"]): row["pass_at_k"] for row in result["pass_at_k"]}
    loads = {load for _, load, _ in by_block}
    assert set(by_block) == {("bf16", load, block) for load in loads for block in (1, 2, None)}
    assert len(loads) == 2
    for at in by_block.values():
        assert at["1"] == {"base": share, "plus": share}
        assert set(at) == {"1"}, "repeats of greedy answers are no samples"
    assert result["tasks"] == {"graded": 24, "of": 24}
    assert all(row["tasks"] == result["tasks"] for row in result["pass_at_k"])
