"""The rules of attribution against the Shapley value of simulated engines' steps."""

from __future__ import annotations

import random
from pathlib import Path

import pandas as pd
import pytest

from analysis.tables import analyze, read_table
from tests.golden.engine import Step, Work, total
from tests.golden.phase_world import CLASSES, PhaseWorld
from tests.golden.shapley import exact, of_schedule, sampled, step_joules
from tests.golden.step_models import STEP_MODELS, Linear


@pytest.fixture(scope="module", params=sorted(STEP_MODELS))
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PhaseWorld:
    """One law of a step's energy; analysed."""
    found = PhaseWorld(tmp_path_factory.mktemp(request.param), STEP_MODELS[request.param]).build()
    analyze(found.run)
    return found


def off(world: PhaseWorld, rule: str) -> dict[tuple[str, str], float]:
    """By load and class of request: how far the rule is from the Shapley value, relative."""
    table = read_table(world.run, "requests").to_pandas()
    joules = {
        (load, identity): value
        for load, identity, value in zip(table.load, table.request_id, table[f"energy_{rule}_j"], strict=True)
    }
    members_of = {}
    for load, truth in world.shapley_j.items():
        for name in CLASSES:
            members = [identity for identity, of in world.class_of[load].items() if of == name]
            charged = sum(joules[load, identity] for identity in members)
            members_of[load, name] = charged / sum(truth[identity] for identity in members) - 1
    return members_of


def test_phase_is_within_5_percent_of_shapley_per_class_of_request_at_every_batch(world: PhaseWorld) -> None:
    errors = off(world, "phase")
    assert set(errors) == {(f"closed-{batch}", name) for batch in (1, 8, 64) for name in CLASSES}
    assert {name: error for name, error in errors.items() if abs(error) > 0.05} == {}


def test_tokens_and_in_flight_charge_long_prompts_far_too_little_in_a_batch(world: PhaseWorld) -> None:
    for rule in ("tokens", "in_flight"):
        errors = off(world, rule)
        for batch in (8, 64):
            assert errors[f"closed-{batch}", "long in, short out"] < -0.5
            assert errors[f"closed-{batch}", "short in, long out"] > 0.1


def test_phase_conserves_the_windows_joules_in_every_cell_probes_too(world: PhaseWorld) -> None:
    cells = read_table(world.run, "cells").to_pandas()
    for _, rows in cells.groupby("load"):
        found = rows.set_index("metric").value
        parts = sum(found[f"energy_phase_{part}_j"] for part in ("measured", "other", "unattributed"))
        assert parts == pytest.approx(found.energy_gross_j, rel=1e-9)


def test_probes_enter_no_contrast_and_no_graded_figure(world: PhaseWorld) -> None:
    contrasts = read_table(world.run, "contrasts").to_pandas()
    assert not any(name.startswith("probe-") for name in [*contrasts.load, *contrasts.reference_load])
    assert not any(
        name.startswith("probe-") for name in read_table(world.run, "accuracy")["load"].to_pylist()
    )
    cells = read_table(world.run, "cells").to_pandas()
    graded = cells.metric.isin(["pass_at_1_plus", "j_per_solved_task"])
    assert not cells[graded].load.str.startswith("probe-").any()


def test_the_fit_shows_its_condition_and_how_it_predicts_a_load_that_was_left_out(world: PhaseWorld) -> None:
    cells = read_table(world.run, "cells").to_pandas()
    found = {name: rows.value.iloc[0] for name, rows in cells.groupby("metric")}
    assert 1 <= found["phase_condition"] < 60
    assert 0 <= found["phase_holdout_error"] < 0.15


def test_where_the_loads_tell_nothing_apart_there_is_no_figure_but_a_reason(tmp_path: Path) -> None:
    world = PhaseWorld(tmp_path, Linear(), batches=(1,), probes=()).build()
    analyze(world.run)
    table: pd.DataFrame = read_table(world.run, "cells").to_pandas()
    rows = table[table.metric.str.startswith("phase_") | table.metric.str.startswith("energy_phase")]
    assert len(rows) > 5
    assert all("phase_not_identified" in reasons for reasons in rows.reasons)
    assert not rows.valid.any()
    assert read_table(world.run, "requests").to_pandas().energy_phase_j.isna().all()


@pytest.mark.parametrize("name", sorted(STEP_MODELS))
def test_random_orders_come_close_to_all_orders_and_sum_to_what_the_step_drew(name: str) -> None:
    model = STEP_MODELS[name]
    parts = {1: Work(900, True, 0), 2: Work(0, True, 300), 3: Work(0, True, 40), 4: Work(700, False, 200)}
    step = Step(0, 1, parts)
    rng = random.Random(3)  # noqa: S311 - a simulation
    truth, found = exact(model, step), sampled(model, step, rng, 400)
    drawn = step_joules(model, total(model, parts))
    assert sum(truth.values()) == pytest.approx(drawn)
    assert sum(found.values()) == pytest.approx(drawn)
    assert found == pytest.approx(truth, rel=0.1)


def test_shapley_of_a_linear_step_is_its_own_part_and_an_equal_one_of_what_is_shared() -> None:
    model = Linear(idle_w=0.0)
    parts = {1: Work(100, True, 0), 2: Work(0, True, 300)}
    found = of_schedule(model, [Step(0, 1, parts)] * 3)
    shared = model.step_j / 2 + model.token_j
    assert found == pytest.approx({1: 3 * (shared + 100 * model.prompt_j), 2: 3 * shared})
