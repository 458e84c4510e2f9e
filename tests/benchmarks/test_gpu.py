"""The stages of the GPU figures, as far as they can be tried without one."""

from __future__ import annotations

import os
import sys
import tarfile
import time
from pathlib import Path

import pytest

from analysis.tables import analyze
from benchmarks.gpu import cost
from benchmarks.gpu import stage as stages
from benchmarks.gpu.command import within
from benchmarks.gpu.studies import LONGEST, SHORTEST, STAGES, study_of, write_lengths
from configs.loader import load_variant
from study.plan.lengths import recorded_lengths
from tests.golden.endpoint import GoldenEndpoint
from tests.golden.engine import Model
from tests.golden.nvml.world import BoardModel, GoldenBoards
from tests.golden.world import World


@pytest.mark.parametrize("stage", list(STAGES))
def test_every_stage_is_a_study_of_variants_that_exist(stage: str, tmp_path: Path) -> None:
    study = study_of(stage, "starcoder2-3b", tmp_path / "lengths.csv")
    assert study.blocks >= 3
    assert all(load_variant(name).name == name for name in study.variants)
    assert study.loads[0].slug == ("closed-2" if stage == "batching" else "single-stream")


def test_engines_that_stay_loaded_are_asked_where_they_are(tmp_path: Path) -> None:
    engines = {"bf16": "http://127.0.0.1:8101", "nf4-bnb": "http://127.0.0.1:8104"}
    study = study_of("first", "starcoder2-3b", tmp_path / "lengths.csv", engines=engines)
    assert {name: engine.url for name, engine in study.remote.items()} == {"bf16": engines["bf16"]}
    assert study.remote["bf16"].meter == "local"
    assert set(study.own_variants) == set(study.variants) - {"bf16"}


def test_answers_have_lengths_of_their_own(tmp_path: Path) -> None:
    path = write_lengths(tmp_path / "lengths.csv", "starwatt-24", ["m"])
    lengths = recorded_lengths(path, "m")
    assert len(lengths) == 24
    assert len(set(lengths.values())) > 5
    assert all(SHORTEST <= tokens <= LONGEST for tokens in lengths.values())


def test_a_stage_that_takes_too_long_is_interrupted_as_by_ctrl_c(tmp_path: Path) -> None:
    note = tmp_path / "note"
    program = f"""
import pathlib, time
try:
    pathlib.Path({str(note)!r}).write_text("begun")
    time.sleep(600)
except KeyboardInterrupt:
    pathlib.Path({str(note)!r}).write_text("interrupted")
    raise SystemExit(130)
"""
    code = within([sys.executable, "-c", program], time.monotonic() + 5)
    assert (code, note.read_text()) == (130, "interrupted")


def test_an_archive_that_were_too_large_leaves_logs_and_then_requests_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    (folder / "cells").mkdir(parents=True)
    (folder / "cells" / "engine.log").write_bytes(os.urandom(40_000))
    (folder / "cells" / "requests.parquet").write_bytes(os.urandom(40_000))
    (folder / "cells" / "power.parquet").write_bytes(os.urandom(1_000))

    def names(most: int) -> set[str]:
        monkeypatch.setattr(stages, "MOST_BYTES", most)
        with tarfile.open(stages.pack(folder, tmp_path / "run.tar.xz")) as tar:
            return {Path(name).name for name in tar.getnames()} - {"run", "cells"}

    assert names(1 << 20) == {"engine.log", "requests.parquet", "power.parquet"}
    assert names(60_000) == {"requests.parquet", "power.parquet"}
    assert names(10_000) == {"power.parquet"}


def test_the_table_has_a_line_a_variant_and_load(tmp_path: Path) -> None:
    run = World(tmp_path / "run", variants=("bf16", "int8-bnb")).build().run
    analyze(run)
    lines = stages.table(run)
    assert len(lines) == 1 + 2 * 3
    assert all(len(line) < 120 for line in lines)


def test_measuring_costs_what_the_rounds_say(tmp_path: Path) -> None:
    """Real load generators and sidecars over the golden endpoint; rounds that are there are not measured again."""
    boards = GoldenBoards(tmp_path / "world", [BoardModel("GPU-none")], idle_w=50.0)
    kept = tmp_path / "cost.jsonl"
    with GoldenEndpoint(boards, Model()) as engine:
        asked = cost.Asked(engine.url, "golden", "starwatt-24", concurrency=2, requests=4, max_tokens=4)
        assert cost.measure(asked, os.getpid(), kept, 1, time.monotonic() - 1) == [], "no time, no round"
        rows = cost.measure(asked, os.getpid(), kept, 1, time.monotonic() + 300)
    assert cost.measure(asked, os.getpid(), kept, 1, time.monotonic() + 300) == rows == cost.read(kept)
    assert sorted(row["hz"] for row in rows) == list(cost.RATES_HZ)
    assert all(row["output_token_rate"] > 0 and row["ttft_ms"] > 0 for row in rows)


def test_a_cost_of_two_per_cent_is_in_the_table() -> None:
    rows = [
        {
            "round": number,
            "hz": hz,
            "output_token_rate": 100 * (1 + number / 50) * share,
            "ttft_ms": 5.0,
            "tpot_ms": None,
        }
        for number in range(4)
        for hz, share in ((0.0, 1.0), (20.0, 1.0), (100.0, 0.98))
    ]
    lines = {tuple(line.split()[:2]): line.split() for line in cost.table(rows)[1:]}
    assert lines["100", "output_token_rate"][2:4] == ["4", "0.980"]
    assert float(lines["20", "output_token_rate"][3]) == 1
    assert lines["20", "tpot_ms"][2] == "0", "what is not known is not compared"
