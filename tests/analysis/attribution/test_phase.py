"""Work counted from chunks, and joules split by what it costs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.attribution.phase import PhaseCosts, PhaseFit, PhaseInput, PhaseRows, fit_phase
from analysis.attribution.rules import by_tokens, flights, in_flight
from analysis.cells.phase_metrics import PhaseCells, phase_figures
from analysis.energy.integral import Curve
from analysis.requests.columns import Requests
from analysis.requests.window import Window, shares_in
from tests.support.builders import MS, SECOND, columns, request, work_of
from traces.layout import CellKey

WINDOW = Window(10 * SECOND, 20 * SECOND)
COSTS = PhaseCosts(np.array([1.0, 0.1, 0.01, 1e-4]), 1.0, None, 1, True)
ASK = st.tuples(
    st.integers(0, 30_000),  # sent, ms
    st.lists(st.integers(0, 4_000), max_size=6),  # gaps between chunks, ms
    st.integers(0, 500),  # prompt
    st.sampled_from(["measured", "filler", "warmup"]),
    st.sampled_from(["ok", "ok", "ok", "aborted", "timeout"]),
)


def asked(drawn: list[tuple[int, list[int], int, str, str]]) -> Requests:
    """Requests whose lives overlap, straddle the window's edges, have no length, or lie outside."""
    rows = []
    for identity, (sent, gaps, prompt, role, status) in enumerate(drawn):
        chunks = [(sent + int(at)) * MS for at in np.cumsum(gaps)] if gaps else []
        row = request(
            identity,
            sent,
            sent + sum(gaps),
            chunk_ns=chunks,
            chunk_tokens=[1 + n % 2 for n in range(len(chunks))],
            first_token_ns=chunks[0] if chunks else None,
            output_tokens=sum(1 + n % 2 for n in range(len(chunks))),
            prompt_tokens=prompt,
            role=role,
            status=status,
        )
        rows.append(row)
    return columns(*rows)


@settings(max_examples=150, deadline=None)
@given(
    drawn=st.lists(ASK, min_size=1, max_size=40),
    power=st.lists(st.floats(0, 1e4), min_size=1, max_size=20),
    stretches=st.integers(1, 16),
)
def test_every_rule_conserves_whatever_the_traces_are_like(
    drawn: list[tuple[int, list[int], int, str, str]], power: list[float], stretches: int
) -> None:
    requests = asked(drawn)
    steps = np.asarray(power) * WINDOW.seconds / len(power)
    curve = Curve(np.linspace(0, WINDOW.seconds, len(power) + 1), np.concatenate(([0.0], np.cumsum(steps))))
    lives = flights(requests.sent_ns, requests.end_ns, WINDOW)
    work = work_of(requests, WINDOW, stretches)
    idle_j = lives.idle_j([curve], work.edges_s)
    cell = PhaseInput(work, np.diff(curve.at(work.edges_s)) - idle_j, curve.total_j, float(idle_j.sum()))
    splits = (
        in_flight(lives, [curve]),
        by_tokens(shares_in(requests, WINDOW).tokens, curve.total_j),
    )
    for split in splits:
        assert split.total_j == pytest.approx(curve.total_j, rel=1e-9, abs=1e-9)
        assert np.isfinite(split.energy_j).all()
        assert (split.energy_j >= -1e-9 * curve.total_j).all()
    key = CellKey("m", "v", "closed-8", 1)
    cells = PhaseCells(
        keys=[key],
        against=[()],
        known=np.array([True]),
        work=work.requests,
        starts=np.array([0, requests.count]),
        measured=requests.measured,
        outside_work=np.full((1, 4), np.nan),
        outside_known=np.array([np.nan]),
        total_j=np.array([cell.total_j]),
        idle_j=np.array([cell.idle_j]),
    )
    figures = phase_figures(cells, {("m", "v", ""): PhaseFit(COSTS, None, None)})
    assert figures.values[0, :3].sum() == pytest.approx(curve.total_j, rel=1e-9, abs=1e-9)
    assert (figures.request_j >= -1e-9 * curve.total_j).all()
    assert cell.busy_j.sum() + cell.idle_j == pytest.approx(curve.total_j, rel=1e-9, abs=1e-9)
    assert work.stretches.sum(axis=0) == pytest.approx(work.requests.sum(axis=0), rel=1e-9)


def test_a_token_is_a_share_of_its_step_and_attends_to_all_before_it() -> None:
    alone = [11_500, 12_500, 13_500]
    together = [13_500, 14_500]
    rows = [
        request(1, 10_500, 13_500, chunk_ns=[t * MS for t in alone], chunk_tokens=[1, 1, 1], prompt_tokens=7),
        request(2, 12_600, 14_500, chunk_ns=[t * MS for t in together], chunk_tokens=[1, 1], prompt_tokens=5),
    ]
    work = work_of(columns(*rows), WINDOW, 10)
    assert work.requests.tolist() == [[2.5, 3.0, 7.0, 7.0 + 8.0 + 9.0], [1.5, 2.0, 5.0, 5.0 + 6.0]]
    assert work.stretches[:, 0].tolist() == [0, 1, 1, 1, 1, 0, 0, 0, 0, 0]


def test_a_prompt_counts_where_its_first_token_came_and_without_what_was_cached() -> None:
    rows = [
        request(1, 9_000, 12_000, chunk_ns=[9_500 * MS, 12_000 * MS], chunk_tokens=[1, 1], prompt_tokens=7),
        request(2, 11_000, 12_000, chunk_tokens=[10], prompt_tokens=9, cached_tokens=4),
    ]
    assert work_of(columns(*rows), WINDOW, 1).requests[:, 2].tolist() == [0.0, 5.0]


def cell(load: str, rng: np.random.Generator, share: float, prompts: float, truth: np.ndarray) -> PhaseRows:
    """Twelve stretches of a load that decodes ``1 / share`` at once, and reads prompts."""
    tokens = rng.uniform(800, 1200, 12)
    work = np.column_stack(
        (
            tokens * share,
            tokens,
            tokens * prompts * rng.uniform(0.5, 1.5, 12),
            tokens * rng.uniform(100, 300, 12),
        )
    )
    return PhaseRows(load, work, work @ truth)


def test_known_costs_come_back_and_predict_the_load_that_was_left_out() -> None:
    rng = np.random.default_rng(4)
    truth = np.array([1.2, 0.03, 0.006, 2e-5])
    cells = [
        cell(f"l{n}", rng, share, prompts, truth)
        for n, (share, prompts) in enumerate([(1, 0.1), (1, 60), (0.1, 0.3), (0.1, 80), (0.02, 2)])
    ]
    fit = fit_phase(cells)
    assert fit.costs is not None
    assert fit.costs.cost_j == pytest.approx(truth, rel=1e-6)
    assert fit.costs.holdout_error == pytest.approx(0.0, abs=1e-6)
    assert fit.costs.loads == 5


def test_one_load_alone_or_too_little_of_it_is_not_identified() -> None:
    rng = np.random.default_rng(4)
    single = cell("single-stream", rng, 1.0, 0.1, np.array([1.2, 0.03, 0.006, 0.0]))
    fit = fit_phase([single])
    assert (fit.costs, fit.reason) == (None, "phase_not_identified")
    assert fit.condition is not None
    assert fit.condition > 60
    assert fit_phase([]).reason == "phase_not_identified"
