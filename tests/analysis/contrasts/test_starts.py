"""An engine start is a level of its own: what it adds is in all of its blocks, and these do not average it away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.arrays import Floats
from analysis.contrasts.starts import by_start, means_of, pairs_by_start, ratio_over_starts, within_starts
from analysis.contrasts.statistics import paired_ratio, student_t
from analysis.table_files import read_table
from analysis.tables import analyze
from configs.restarts import EngineRestarts, Resident
from tests.golden.world import LOADS, World

STUDIES, TRUTH = 10_000, 0.3


def simulated(seed: int, starts: list[int], of_starts: float, of_blocks: float) -> tuple[Floats, Floats]:
    """Log-ratios (studies, blocks), and what the starts that were met add in the mean (studies,)."""
    rng = np.random.default_rng(seed)
    known, of = np.unique(starts, return_inverse=True)
    drawn = rng.normal(0, of_starts, (STUDIES, known.size))
    return TRUTH + drawn[:, of] + rng.normal(0, of_blocks, (STUDIES, len(starts))), drawn.mean(axis=1)


def held(centre: Floats, half: Floats, truth: Floats | float) -> float:
    """The share of studies whose interval holds the truth."""
    return float(np.mean(np.abs(centre - truth) <= half))


@pytest.mark.parametrize("of_starts", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("starts", [[0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]])
def test_intervals_over_starts_hold_95_percent_where_blocks_of_a_start_are_alike(
    starts: list[int], of_starts: float
) -> None:
    logs, _ = simulated(1, starts, of_starts, 0.02)
    assert 0.94 <= held(*student_t(means_of(logs.T, starts).T), TRUTH) <= 0.96
    if of_starts:  # what the rule of blocks alone would have promised
        assert held(*student_t(logs), TRUTH) < 0.9


def test_a_last_start_of_one_block_costs_the_coverage_little() -> None:
    for of_starts in (0.0, 0.02, 0.1):
        logs, _ = simulated(2, [0, 0, 1, 1, 2], of_starts, 0.02)
        assert 0.935 <= held(*student_t(means_of(logs.T, [0, 0, 1, 1, 2]).T), TRUTH) <= 0.96


@pytest.mark.parametrize("starts", [[0] * 3, [0] * 5, [0, 0, 0, 1, 1, 1]])
def test_an_interval_of_these_starts_holds_for_them_and_not_for_others(starts: list[int]) -> None:
    logs, added = simulated(3, starts, 0.05, 0.02)
    centre, half = within_starts(logs, starts)
    assert 0.94 <= held(centre, half, TRUTH + added) <= 0.96
    assert held(centre, half, TRUTH) < 0.75


def test_blocks_with_a_start_each_give_what_they_always_gave() -> None:
    above, below = [1.2, 1.3, 1.25, 1.22], [1.0, 1.1, 1.0, 0.9]
    assert ratio_over_starts(above, below, [1, 2, 3, 4]) == paired_ratio(above, below)


def test_three_starts_give_an_interval_with_two_degrees_of_freedom() -> None:
    logs = [0.1, 0.12, 0.2, 0.22, 0.3, 0.32]
    ratio = ratio_over_starts(np.exp(logs).tolist(), [1.0] * 6, [0, 0, 1, 1, 2, 2])
    same = paired_ratio(np.exp([0.11, 0.21, 0.31]).tolist(), [1.0] * 3)
    assert (ratio.lo, ratio.hi, ratio.p) == pytest.approx((same.lo, same.hi, same.p))
    assert (ratio.blocks, ratio.freedom, ratio.kind, ratio.reasons) == (6, 2, "starts", ())


def test_one_start_gives_an_interval_of_its_own_kind_and_no_p() -> None:
    ratio = ratio_over_starts([1.1, 1.2, 1.3], [1.0] * 3, [0, 0, 0])
    same = paired_ratio([1.1, 1.2, 1.3], [1.0] * 3)
    assert (ratio.lo, ratio.hi) == pytest.approx((same.lo, same.hi))
    assert (ratio.kind, ratio.p, ratio.reasons) == ("these_starts", None, ("one_engine_start",))


@pytest.mark.parametrize(
    ("starts", "reasons"),
    [([0, 0], ("too_few_blocks", "one_engine_start")), ([0, 0, 1], ("too_few_blocks", "too_few_starts"))],
)
def test_too_few_blocks_give_none(starts: list[int], reasons: tuple[str, ...]) -> None:
    ratio = ratio_over_starts([1.1, 1.2, 1.3][: len(starts)], [1.0] * len(starts), starts)
    assert (ratio.lo, ratio.reasons) == (None, reasons)


def test_blocks_of_a_start_become_one_value() -> None:
    assert by_start({1: 2.0, 2: 8.0, 3: 5.0}, lambda block: (block - 1) // 2) == pytest.approx(
        {0: 4.0, 1: 5.0}
    )
    assert by_start({1: 2.0, 2: 8.0}, lambda block: block) == {1: 2.0, 2: 8.0}


def test_where_a_side_lacks_a_block_a_start_is_compared_over_the_blocks_that_both_have() -> None:
    asked = {1: 1.0, 2: 4.0, 3: 2.0, 4: 2.0}  # block 2 was asked more, of both sides alike
    lacking = {block: 1.5 * value for block, value in asked.items() if block != 2}
    above, below = pairs_by_start(lacking, asked, lambda block: (block - 1) // 2)
    assert [one / other for one, other in zip(above, below, strict=True)] == pytest.approx([1.5, 1.5])


def contrasts(
    folder: Path, restarts: EngineRestarts, drift: float
) -> dict[tuple[str, str], tuple[float, float]]:
    """By variant and load: log of the ratio of J/request to the baseline, and half of its interval."""
    world = World(
        folder / f"{drift}" / "run", loads=LOADS[:1], blocks=6, tasks=6, jitter=0.003, drift=drift,
        engine_restarts=restarts,
    ).build()  # fmt: skip
    analyze(world.run)
    table = read_table(world.run, "contrasts").to_pylist()
    rows = [row for row in table if row["metric"] == "j_per_request_ratio" and row["valid"]]
    assert len(rows) == 2
    return {
        (row["variant"], row["load"]): (np.log(row["value"]), np.log((row["hi"] or 0.1) / row["value"]))
        for row in rows
    }


@pytest.mark.parametrize("every", [2, 6])
def test_drift_over_a_study_of_resident_engines_changes_no_contrast_by_more_than_its_interval(
    tmp_path: Path, every: int
) -> None:
    resident = Resident(resident="auto", every=every)
    still, drifted = (contrasts(tmp_path / "resident", resident, drift) for drift in (0.0, 0.1))
    for side, (ratio, half) in drifted.items():
        assert abs(ratio - still[side][0]) <= half, side
    still, drifted = (contrasts(tmp_path / "once", "once", drift) for drift in (0.0, 0.1))
    moved = [abs(drifted[side][0] - still[side][0]) for side in still]
    assert max(moved) > 0.02
