"""What verify and compare say in sum, for a person."""

from __future__ import annotations

import pytest

from analysis.verify.finding import Finding
from analysis.verify.run import Verification
from configs.differences import changes
from study.cli.compare import _words_of
from study.cli.results import _verified_in_sum
from study.plan.forecast import Forecast
from study.plan.span import Span

INVALID = Finding("invalid_cell", "m/bf16/closed-8/b2", "the watts drift (not_steady)")


@pytest.mark.parametrize(
    ("findings", "sums"),
    [
        ((), "45 cells, 1 measured request: all figures follow from the traces, and none is invalid"),
        (
            (INVALID, INVALID),
            "45 cells, 1 measured request: all figures follow from the traces; 44 of 45 cells are valid",
        ),
        (
            (INVALID, Finding("record_differs", "m", "x")),
            "45 cells, 1 measured request: what is not named above follows from the traces",
        ),
    ],
    ids=["all", "all but one", "not all"],
)
def test_verify_says_whether_what_it_did_not_name_holds(findings: tuple[Finding, ...], sums: str) -> None:
    assert _verified_in_sum(Verification(45, 1, findings, ())) == sums


def test_compare_says_which_run_alone_has_a_field_without_what_it_holds() -> None:
    before, after = {"seed": 1, "here": {"a": 1}}, {"seed": 2, "host": {"name": "vm"}}
    assert [_words_of(change, "one", "two") for change in changes(before, after)] == [
        "seed is 2, in one 1", "only one says here", "only two says host",
    ]  # fmt: skip


def test_one_thing_is_not_told_in_the_plural() -> None:
    assert Forecast(0, 0, cells=1, engine_starts=1, seconds=Span(60, 60)).lines()[0] == (
        "1 cell to measure, 1 engine start"
    )
    assert "2 cells to measure, 3 engine starts" in Forecast(0, 0, cells=2, engine_starts=3).lines()
