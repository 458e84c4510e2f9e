"""How many connections an open load keeps ready."""

from __future__ import annotations

from loadgen.clients.demand import Demand


def test_openings_that_wait_for_each_other_call_for_no_more_of_them() -> None:
    demand = Demand(1200.0)
    demand.opened(0.002)
    alone = demand.wanted(400)
    for _ in range(100):
        demand.opened(0.3)
    assert demand.wanted(400) == alone == 404


def test_what_opens_slowly_is_opened_well_ahead() -> None:
    demand = Demand(100.0)
    demand.opened(0.3)
    assert demand.wanted(10) == 10 + 60


def test_as_many_are_kept_as_the_rate_and_the_time_of_an_answer_need() -> None:
    demand = Demand(100.0)
    demand.used(0.5)
    assert demand.wanted(10) == 50
