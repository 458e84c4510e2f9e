"""Whatever is killed, and whenever: a resumed study is the study that nobody disturbed."""

from __future__ import annotations

import logging
import random
from pathlib import Path

import pytest

from tests.chaos.campaign import DONE, Chaos
from tests.chaos.machine import SECRET, Machine
from tests.chaos.outcome import Outcome, holding, outcome_of, scraps
from traces.layout import RunDir

_LOG = logging.getLogger(__name__)
STUDY = """
name: chaos
models: [{model}]
baseline: bf16
variants: {variants}
loads:
  - {{kind: single_stream}}
  - {{kind: closed, concurrency: 3}}
prompts: {{dataset: starwatt-24, tasks: 8, max_tokens: 64}}
measure: {{passes: 1, min_s: 0}}
phases: {{idle_s: 0.5, warmup_requests: 4, rest_s: 0.1, cooldown: {{timeout_s: 0}}}}
board: {board}
blocks: {blocks}
engine_restarts: {restarts}
attempts: 1000
engine: {{hang_timeout_s: 3, start_timeout_s: 8}}
meters: {{sample_hz: 50}}
seed: 7
"""


RESIDENT = "{resident: auto, every: 2}"


def study_file(
    world: Machine, variants: str = "[bf16, fp16]", board: str = "[]", *, resident: bool = False
) -> Path:
    path = world.folder / "study.yaml"
    restarts, blocks = (RESIDENT, 2) if resident else ("each_block", 1)
    model = world.folder / "model"
    path.write_text(
        STUDY.format(model=model, variants=variants, board=board, restarts=restarts, blocks=blocks)
    )
    return path


def undisturbed(world: Machine, study: Path) -> Outcome:
    """The same study, and nobody strikes."""
    run = RunDir(world.disk / "quiet")
    world.start("run", study, "--out", run.root, "--allow-board-control")
    assert world.end() in DONE, world.said
    assert world.left_behind() == []
    world.runner = None
    return outcome_of(run, world.boards)


def compare(quiet: Outcome, struck: Outcome, *, resident: bool = False) -> int:
    """Hold them against each other; how many cells' energy could be compared.

    An engine that is started anew beside others that are loaded finds no board as cool as it was.
    """
    assert struck.plan == quiet.plan
    assert struck.requests == quiet.requests
    assert struck.grades == quiet.grades
    assert resident or None not in struck.cool_starts.values()
    both = quiet.joules.keys() & struck.joules.keys()
    for key in both:
        for one in (quiet.joules[key], struck.joules[key]):
            assert abs(one.found_j - one.true_j) <= one.uncertainty_j, (key, one)
        assert struck.joules[key].agrees(quiet.joules[key]), (key, struck.joules[key], quiet.joules[key])
    return len(both)


def chaos(
    world: Machine, blows: int, seed: int, variants: str, *settings: str, resident: bool = False
) -> None:
    study = study_file(world, variants, f"[{', '.join(settings)}]", resident=resident)
    quiet = undisturbed(world, study)
    cells = 2 * (variants.count(",") + 1) * max(len(settings), 1) * (2 if resident else 1)
    assert len(quiet.requests) == len(quiet.plan) == cells
    assert all(start is not None and start.cooled for start in quiet.cool_starts.values())
    assert {row["status"] for rows in quiet.requests.values() for row in rows} == {"ok"}
    struck = Chaos(world, study, random.Random(seed), one_of_many=resident)  # noqa: S311 -- no secret
    struck.blows(blows)
    assert struck.struck.total() == blows
    compared = 0
    for run in struck.finished:
        compared += compare(quiet, outcome_of(run, world.boards), resident=resident)
        assert scraps(run) == []
        assert holding(run, SECRET) == []
    assert compared > 0
    _LOG.info(
        "%d blows: %s; %d studies, %d energies compared",
        blows,
        dict(struck.struck),
        len(struck.finished),
        compared,
    )


@pytest.mark.timeout(600)
def test_a_study_that_is_struck_twenty_times_is_the_one_that_nobody_disturbed(world: Machine) -> None:
    chaos(world, 20, seed=25, variants="[bf16]")


@pytest.mark.timeout(600)
def test_engines_that_stay_loaded_are_struck_twenty_times_and_give_what_nobody_disturbed(
    world: Machine,
) -> None:
    chaos(world, 20, seed=26, variants="[bf16, fp16]", resident=True)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(2))
def test_engines_that_stay_loaded_are_struck_a_hundred_times_and_give_what_nobody_disturbed(
    world: Machine, seed: int
) -> None:
    chaos(world, 50, seed=seed, variants="[bf16, fp16, fp32]", resident=True)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(4))
def test_a_study_that_is_struck_two_hundred_times_is_the_one_that_nobody_disturbed(
    world: Machine, seed: int
) -> None:
    chaos(world, 50, seed=seed, variants="[bf16, fp16]")


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(2))
def test_boards_of_a_study_that_is_struck_a_hundred_times_are_as_they_were_after_each(
    world: Machine, seed: int
) -> None:
    chaos(world, 50, seed, "[bf16]", "{power_limit_w: null}", "{power_limit_w: 300}", "{sm_clock_mhz: 1200}")
