"""Every cell once a block, in an order that the seed alone decides."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from configs.loader import load_study
from configs.loads import Closed, is_probe
from configs.schema import FixedOutput, Study
from starwatt_errors import UsageError
from study.plan.cells import (
    PlannedCell,
    by_engine_start,
    expected_s,
    first_of_each_start,
    plan_cells,
    plan_table,
)
from traces.schemas import PLAN

VARIANTS = ["bf16", "int8-bnb", "nf4-bnb", "int4-awq", "pruned-last-1"]
FIELDS: dict[str, Any] = {
    "name": "s",
    "models": ["starcoder2-memorised", "bigcode/starcoder2-3b"],
    "baseline": "bf16",
    "variants": VARIANTS,
    "loads": [{"kind": "single_stream"}, {"kind": "closed", "concurrency": 8}, {"kind": "open", "qps": 4}],
    "measure": {"passes": 2, "min_s": 0},
    "phases": {"idle_s": 1.5, "warmup_s": 2},
    "blocks": 4,
}


def plan(**changes: Any) -> list[PlannedCell]:
    """The plan of the study above, over ten tasks."""
    return plan_cells(Study.model_validate({**FIELDS, **changes}), 10)


RESIDENT = {"resident": "auto", "every": 2}


@pytest.mark.parametrize("restarts", ["each_block", "once", RESIDENT])
def test_every_cell_is_there_once_a_block(restarts: Any) -> None:
    cells = plan(engine_restarts=restarts)
    assert set(Counter(cell.key for cell in cells).values()) == {1}
    assert Counter(cell.key.block for cell in cells) == dict.fromkeys(range(1, 5), 2 * 5 * 3)
    assert [cell.position for cell in cells] == list(range(len(cells)))
    assert {cell.key.model for cell in cells} == {"starcoder2-memorised", "bigcode--starcoder2-3b"}


def test_each_block_starts_every_variant_once_and_measures_all_its_loads_on_that_engine() -> None:
    groups = by_engine_start(plan())
    assert len(groups) == 4 * 2 * 5
    for group in groups:
        assert len({(cell.model, cell.variant, cell.key.block, cell.engine_start) for cell in group}) == 1
        assert {cell.key.load for cell in group} == {"single-stream", "closed-8", "open-4-poisson"}
    assert [group[0].key.block for group in groups] == sorted(group[0].key.block for group in groups)


def test_once_puts_all_blocks_of_a_variant_on_one_engine_start() -> None:
    groups = by_engine_start(plan(engine_restarts="once"))
    assert len(groups) == 2 * 5
    for group in groups:
        assert len({(cell.model, cell.variant, cell.engine_start) for cell in group}) == 1
        assert [cell.key.block for cell in group] == [block for block in range(1, 5) for _ in range(3)]


def test_engines_that_stay_loaded_have_every_variant_in_each_block_and_start_anew_every_n_blocks() -> None:
    cells = plan(engine_restarts=RESIDENT)
    assert len(first_of_each_start(cells)) == 2 * 2 * 5
    assert sorted({cell.engine_start for cell in cells}) == list(range(20))
    for start in range(20):
        served = [cell for cell in cells if cell.engine_start == start]
        assert len({(cell.model, cell.variant) for cell in served}) == 1
        assert {cell.key.block for cell in served} in ({1, 2}, {3, 4})
    turns = by_engine_start(cells)
    assert len(turns) == 4 * 2 * 5  # a turn a variant, model and block, each with all of its loads
    assert all(len({cell.key.block for cell in turn}) == 1 and len(turn) == 3 for turn in turns)
    models = [cell.model for cell in cells if cell.key.block <= 2]
    # One model's engines at a time.
    assert len([1 for model, other in pairwise(models) if model != other]) == 1


def test_of_one_model_the_order_is_that_of_an_engine_start_in_each_block() -> None:
    memorised = {"models": ["starcoder2-memorised"]}
    resident, each = plan(**memorised, engine_restarts=RESIDENT), plan(**memorised)
    assert [cell.key for cell in resident] == [cell.key for cell in each]


def test_a_start_is_expected_once_for_all_blocks_that_it_serves() -> None:
    cells = [replace(cell, start_s=100.0) for cell in plan(engine_restarts=RESIDENT)]
    extra_s = sum(expected_s(cells).values()) - sum(cell.estimated_s for cell in cells)
    assert extra_s == pytest.approx(20 * 100.0)


def test_variants_and_loads_are_in_another_order_in_another_block() -> None:
    cells = plan()
    variants = {
        block: tuple(group[0].variant for group in by_engine_start(cells) if group[0].key.block == block)
        for block in range(1, 5)
    }
    assert len(set(variants.values())) > 1
    assert len({tuple(cell.key.load for cell in group) for group in by_engine_start(cells)}) > 1


def test_blocks_that_are_added_leave_the_order_of_those_before_as_it_was() -> None:
    fewer, more = plan(blocks=2), plan(blocks=5)
    assert [(cell.key, cell.engine_start, cell.position) for cell in more[: len(fewer)]] == [
        (cell.key, cell.engine_start, cell.position) for cell in fewer
    ]


def test_the_same_seed_gives_the_same_plan_and_another_another() -> None:
    assert plan() == plan()
    assert [cell.key for cell in plan(seed=21)] != [cell.key for cell in plan()]


def test_the_estimate_counts_idle_warm_up_passes_and_the_least_time() -> None:
    by_load = {cell.key.load: cell.estimated_s for cell in plan()}
    assert by_load["open-4-poisson"] == 2 * 1.5 + 2 + 2 * 10 / 4
    longer = {cell.key.load: cell.estimated_s for cell in plan(measure={"passes": 1, "min_s": 600})}
    assert set(longer.values()) == {2 * 1.5 + 2 + 600}


def test_the_plan_on_disk_is_the_plan() -> None:
    cells = plan()
    table = plan_table(cells)
    assert table.schema.equals(PLAN)
    assert [
        (row["variant"], row["load"], row["block"], row["engine_start"]) for row in table.to_pylist()
    ] == [(cell.variant, cell.key.load, cell.key.block, cell.engine_start) for cell in cells]


def test_probes_are_measured_in_block_1_alone_with_answers_and_prompts_of_their_own() -> None:
    cells = plan(probes={"concurrency": [1, 8], "answer_tokens": 64, "prompt_characters": 40})
    probes = [cell for cell in cells if is_probe(cell.key.load)]
    assert {cell.key.block for cell in probes} == {1}
    assert len(probes) == 2 * 5 * 4
    asked = {cell.key.load: cell for cell in probes}
    assert set(asked) == {"probe-prefill-1", "probe-prefill-8", "probe-decode-1", "probe-decode-8"}
    assert asked["probe-prefill-8"].prompts.output == FixedOutput(fixed=1)
    assert asked["probe-prefill-8"].prompts.characters is None
    assert asked["probe-decode-8"].prompts.output == FixedOutput(fixed=64)
    assert asked["probe-decode-8"].prompts.characters == 40
    assert isinstance(asked["probe-decode-8"].load, Closed)
    assert asked["probe-decode-8"].load.concurrency == 8
    assert asked["probe-decode-8"].measure.min_s == 10
    assert Closed.model_validate_json(asked["probe-decode-8"].load.model_dump_json()).slug == "probe-decode-8"


def test_without_probes_the_order_is_what_it_was() -> None:
    with_probes = [cell for cell in plan(probes={}, engine={"max_num_seqs": 64}) if cell.key.block > 1]
    assert {cell.key for cell in with_probes} == {cell.key for cell in plan() if cell.key.block > 1}
    assert [cell.measure.passes for cell in plan()] == [2] * len(plan())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"loads": [{"kind": "closed", "concurrency": 2, "name": "probe-x"}]}, "loads"),
        ({"prompts": {"characters": 10}}, "prompts.characters"),
        ({"probes": {"concurrency": [1, 512]}}, "engine.max_num_seqs"),
        ({"probes": {"concurrency": [8, 8]}}, "probes.concurrency"),
    ],
)
def test_a_probe_that_cannot_be_is_refused_with_the_field(
    tmp_path: Path, changes: dict[str, Any], field: str
) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump({**FIELDS, **changes}), encoding="utf-8")
    with pytest.raises(UsageError, match=re.escape(field)):
        load_study(path)
