"""Words follow figures."""

from __future__ import annotations

from typing import Any

import pytest

from analysis.results.headline import interval_words
from analysis.results.sentences import effect_words


def row(value: float | None, lo: float | None = None, hi: float | None = None, **more: Any) -> dict[str, Any]:
    """A row of ``tables/contrasts``, as far as words need it."""
    return {"value": value, "lo": lo, "hi": hi, "blocks": 5, "reasons": [], **more}


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        (row(1.19, 1.15, 1.23), "costs 19 % more (95 %: 15 to 23; 5 blocks)"),
        (row(0.81, 0.77, 0.85), "costs 19 % less (95 %: 15 to 23; 5 blocks)"),
        (row(1.004, 1.001, 1.007), "costs 0.40 % more (95 %: 0.10 to 0.7; 5 blocks)"),
        (row(1.01, 0.97, 1.05), "no difference can be seen (95 %: 3.0 % less to 5.0 % more; 5 blocks)"),
        (row(1.0, 1.0, 1.0), "no difference can be seen (95 %: 0.00 % less to 0.00 % more; 5 blocks)"),
        # Around its own middle, which is not shown, this would be ±37 %: half of what it leaves open.
        (row(1.30, 0.95, 1.78), "no difference can be seen (95 %: 5.0 % less to 78 % more; 5 blocks)"),
        (row(4.1, 0.49, 34.7), "no difference can be seen (95 %: 0.490 to 34.7 times; 5 blocks)"),
        (row(0.7, 0.45, 1.1), "no difference can be seen (95 %: 0.450 to 1.10 times; 5 blocks)"),
        (
            row(2.19, reasons=["too_few_blocks"], blocks=1),
            "119 % more in the one block there is, so nothing can be said (too_few_blocks)",
        ),
        (
            row(1.3, reasons=["too_few_blocks"], blocks=2),
            "costs 30 % more (no interval: too_few_blocks; 2 blocks)",
        ),
    ],
)
def test_more_less_or_nothing_to_be_seen(figures: dict[str, Any], words: str) -> None:
    assert effect_words(figures) == words


def test_what_could_not_have_been_seen_is_said() -> None:
    words = effect_words(row(1.01, 0.97, 1.05), row(1.06))
    assert words == (
        "no difference can be seen (95 %: 3.0 % less to 5.0 % more; 5 blocks; "
        "a difference below 6.0 % would probably not have been found)"
    )
    assert "below a factor of 16.5 would" in effect_words(row(4.1, 0.49, 34.7), row(16.46))


def test_what_is_equal_in_all_blocks_costs_as_much_and_has_no_interval() -> None:
    equal = {**row(1.0, 1.0, 1.0), "lo": None, "hi": None, "reasons": ["blocks_agree"]}
    assert effect_words(equal, of="J/request", than="bf16") == (
        "costs as much J/request as bf16 (no interval: blocks_agree; 5 blocks)"
    )


def test_what_holm_does_not_bear_out_is_not_said_without_it() -> None:
    assert "may be chance" in effect_words(row(1.19, 1.01, 1.40), None, row(0.2))
    assert "chance" not in effect_words(row(1.19, 1.15, 1.23), None, row(0.001))


def test_a_sentence_names_what_and_against_whom() -> None:
    assert effect_words(row(1.19, 1.15, 1.23), of="J/request", than="bf16") == (
        "costs 19 % more J/request than bf16 (95 %: 15 to 23; 5 blocks)"
    )
    assert "no difference in J/request to bf16 can be seen" in effect_words(
        row(1.0, 0.9, 1.1), of="J/request", than="bf16"
    )
    assert "(95 %: 46.10 to 46.30; 5 blocks)" in effect_words(row(1.462, 1.461, 1.463))


def test_a_factor_of_one_block_is_no_finding() -> None:
    bare = row(3.0, reasons=["too_few_blocks"], blocks=1)
    assert interval_words(bare) == "in the one block there is, so nothing can be said: too_few_blocks"
    assert interval_words({**bare, "blocks": 2}) == "no interval: too_few_blocks; 2 blocks"
