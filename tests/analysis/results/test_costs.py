"""Money and carbon are stated factors times measured joules, and stand apart from these."""

from __future__ import annotations

import pytest

from analysis.results.costs import CostRow, Factors, cost_rows, read_factors
from analysis.results.points import Point, Results
from starwatt_errors import UsageError


def results(*, solved: bool = True) -> Results:
    values = {"j_per_request": (360.0, 360.0, 360.0)} | ({"j_per_solved_task": (720.0,)} if solved else {})
    point = Point("m", "bf16", "closed-8", 3, values, {"j_per_solved_task": ("too_few_blocks",)})
    return Results(None, (), (point,), (), ())


def of(rows: list[CostRow], per: str, quantity: str) -> CostRow:
    (row,) = (cost for cost in rows if (cost.per, cost.quantity) == (per, quantity))
    return row


def test_a_thousand_requests_cost_their_energy_times_price_and_pue() -> None:
    rows = cost_rows(results(), read_factors("0.30 EUR/kWh", "350g/kWh", 1.2))
    assert of(rows, "1000 requests", "energy").value == pytest.approx(100.0)  # 360 J x 1000 / 3600
    assert of(rows, "1000 requests", "energy").stated == "", "it is measured"
    assert of(rows, "1000 requests", "energy with PUE").value == pytest.approx(120.0)
    assert of(rows, "1000 requests", "cost").value == pytest.approx(0.036)
    assert of(rows, "1000 requests", "cost").unit == "EUR"
    assert of(rows, "1000 requests", "cost").stated == "0.3 EUR/kWh, PUE 1.2"
    assert of(rows, "solved task", "carbon").value == pytest.approx(0.2 * 1.2 * 0.35)


def test_what_nobody_states_has_no_row() -> None:
    assert {row.quantity for row in cost_rows(results(), Factors())} == {"energy"}


def test_what_was_not_measured_costs_nothing_that_is_known() -> None:
    row = of(cost_rows(results(solved=False), read_factors("1/kWh", None, None)), "solved task", "cost")
    assert (row.value, row.bounds, row.reasons) == (None, None, ("too_few_blocks",))


@pytest.mark.parametrize(
    ("price", "per_wh", "currency"),
    [
        ("0.30/kWh", 0.0003, ""), ("85 EUR/MWh", 85e-6, "EUR"), (" $0.1/kWh", 0.0001, "$"), ("0.1€ / kWh", 0.0001, "€"),
        ("2 kr/kWh", 0.002, "kr"),
    ],
)  # fmt: skip
def test_prices_are_read_as_people_write_them(price: str, per_wh: float, currency: str) -> None:
    factors = read_factors(price, None, None)
    assert factors.price_per_wh == pytest.approx(per_wh)
    assert factors.currency == currency


@pytest.mark.parametrize(
    ("carbon", "grams"),
    [("350g/kWh", 0.35), ("0.35 kgCO2e/kWh", 0.35), ("350 gCO2/kWh", 0.35), ("350 gCO₂eq/kWh", 0.35)],
)
def test_carbon_is_in_grams_whatever_it_was_stated_in(carbon: str, grams: float) -> None:
    assert read_factors(None, carbon, None).carbon_g_per_wh == pytest.approx(grams)


@pytest.mark.parametrize(
    ("price", "carbon", "pue", "flag"),
    [
        ("0.3", None, None, "--price"),
        (None, "350 lb/kWh", None, "--carbon"),
        (None, "0.35 Mg/MWh", None, "--carbon"),
        ("-1/kWh", None, None, "--price"),
        (None, None, 0.9, "--pue"),
    ],
)
def test_a_factor_that_cannot_be_is_refused_by_its_flag(
    price: str | None, carbon: str | None, pue: float | None, flag: str
) -> None:
    with pytest.raises(UsageError, match=flag):
        read_factors(price, carbon, pue)
