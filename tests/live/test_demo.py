"""The demo whole: every variant under every load in three blocks (minutes: ``make test-long``)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from configs.loader import STUDIES, load_study
from tests.live.conftest import Command
from traces.layout import RunDir

pytestmark = [pytest.mark.live, pytest.mark.long, pytest.mark.timeout(1800)]


def test_the_demo_measures_every_variant_under_every_load_and_shows_what_batching_saves_and_compression_loses(
    starwatt: Callable[..., Command], tmp_path: Path
) -> None:
    study = load_study(STUDIES / "demo.yaml")
    command = starwatt("run", str(STUDIES / "demo.yaml"), "--out", "demo")
    command.process.wait(timeout=1500)
    assert command.process.returncode == 0, command.said
    run = RunDir(tmp_path / "demo")
    finished = {(key.variant, key.load, key.block) for key in run.finished_cells()}
    loads = [load.slug for load in study.loads]
    assert finished == {
        (variant, load, block)
        for variant in study.variants
        for load in loads
        for block in range(1, study.blocks + 1)
    }
    rows = pq.read_table(run.table("contrasts")).to_pylist()
    factors = {
        row["variant"]: row["value"]
        for row in rows
        if row["metric"] == "energy_factor" and row["load"] == "closed-8"
    }
    assert set(factors) == set(study.variants)
    assert min(factors.values()) > 1, factors
    cells = pq.read_table(run.table("cells")).to_pylist()
    for row in (row for row in cells if row["metric"] == "pass_at_1_plus"):
        keeps_all = row["variant"] in {"bf16", "int8-bnb"}
        assert (row["value"] >= 0.95) == keeps_all, row
