"""Engines that stay loaded: each serves its turns, one that dies costs no other's cell, and short memory is no end."""

from __future__ import annotations

import json

import psutil
import pyarrow.parquet as pq

from tests.chaos.campaign import DONE
from tests.chaos.machine import MODEL, Machine
from traces.attempts import read_attempts
from traces.cell import CellRecord, read_cell
from traces.clock import boot_id
from traces.layout import RunDir
from traces.streams import read_trace

STUDY = """
name: resident
models: [{model}]
baseline: bf16
variants: {variants}
loads: [{{kind: single_stream}}]
prompts: {{dataset: starwatt-24, tasks: 2, max_tokens: 32}}
measure: {{passes: 1, min_s: 0}}
phases: {{idle_s: 0.5, warmup_requests: 1, rest_s: 0.1, cooldown: {{timeout_s: 0}}}}
board: {board}
blocks: {blocks}
engine_restarts: {{resident: auto, every: {every}, alone: {alone}}}
seed: 7
"""
DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


def begin(world: Machine, *, blocks: int, alone: str, **more: object) -> RunDir:
    file, run = world.folder / "study.yaml", RunDir(world.disk / "run")
    settings = {"variants": f"[{', '.join(DTYPES)}]", "every": 2, "board": "[]", **more}
    file.write_text(STUDY.format(model=world.folder / "model", blocks=blocks, alone=alone, **settings))
    world.start("run", file, "--out", run.root, "--allow-board-control")
    return run


def records(run: RunDir) -> list[CellRecord]:
    """In the order of measuring."""
    cells = [read_cell(run.cell(key)) for key in run.finished_cells()]
    return sorted(cells, key=lambda cell: cell.phases.window.start_ns if cell.phases.window else 0)


def engine(world: Machine, variant: str) -> psutil.Process:
    [running] = [process for process in world.processes("engine") if DTYPES[variant] in process.cmdline()]
    return running


def test_an_idle_engine_that_dies_costs_no_cell_and_the_others_stay(world: Machine) -> None:
    run = begin(world, blocks=2, alone="{}")
    world.until(lambda: len(list(run.finished_cells())) > 0, "a cell is measured")
    order = [row["variant"] for row in pq.read_table(run.plan).to_pylist() if row["block"] == 1]
    engine(world, order[0]).kill()  # its turn is over; it comes again in block 2
    assert world.end() in DONE, world.said
    assert f"{order[0]} is started anew at its turn" in world.said
    cells = records(run)
    assert len(cells) == 6
    assert read_attempts(run) == {}
    for variant in DTYPES:
        starts = [cell.served.started_s for cell in cells if cell.variant == variant]
        assert len(set(starts)) == (2 if variant == order[0] else 1)
        assert all(cell.audit.residents_cpu_share is not None for cell in cells)
    assert len({cell.served.kv_cache_tokens for cell in cells}) == 1
    anew = next(place for place, cell in enumerate(cells) if place and cell.variant == order[0])
    for cell in cells[anew:]:  # the others are no strangers on the board; from here on it lists all that run
        occupancy = read_trace(run.cell(cell.key), "occupancy")
        assert set(occupancy.column("state").to_pylist()) == {"exclusive"}
    alone = records(RunDir(run.alone))  # the check: the baseline in both blocks, on one engine
    assert [(cell.variant, cell.block) for cell in alone] == [("bf16", 1), ("bf16", 2)]
    assert len({cell.served.started_s for cell in alone}) == 1
    assert {cell.audit.residents_cpu_share for cell in alone} == {None}
    assert 1.0 in pq.read_table(run.table("neighbours")).column("overlap").to_pylist()
    assert world.left_behind() == []


def test_where_nothing_tells_whether_engines_fit_each_is_started_for_its_turn(world: Machine) -> None:
    (world.folder / "model" / "config.json").write_text(json.dumps(MODEL | {"num_attention_heads": None}))
    run = begin(world, blocks=1, alone="null")
    assert world.end() in DONE, world.said
    assert "engines do not stay loaded, and each is started for its turn" in world.said
    cells = records(run)
    assert len({cell.served.started_s for cell in cells}) == len(cells) == 3
    assert {cell.audit.residents_cpu_share for cell in cells} == {None}


def test_engines_are_loaded_on_boards_that_are_as_they_were_found(world: Machine) -> None:
    run = begin(world, blocks=2, alone="null", variants="[bf16]", every=1, board="[{power_limit_w: 300}]")
    assert world.end() in DONE, world.said
    assert len(records(run)) == 2
    tried, for_a_start, back = 2, 1, 1  # whether it may be set is tried before the study and as it is held
    assert world.boards[boot_id()].sets() == tried + 2 * (for_a_start + back)
