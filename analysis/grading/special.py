"""The tasks that evalplus judges by rules of their own (0.3.1, ``evalplus/eval/_special_oracle.py``)."""

from __future__ import annotations

import math
from typing import Any

from analysis.grading.values import Subclassed

FIND_ZERO = "find_zero"
"""HumanEval/32 has many right answers: any zero of the polynomial."""
NOT_NONE = frozenset({"check_str", "text_match_three", "text_starta_endb"})
"""Of MBPP+: something or nothing is returned, where evalplus could not keep what."""
AS_SETS = frozenset({
    "similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly", "larg_nnum",
    "intersection_array", "find_dissimilar", "Diff",
})  # fmt: skip
"""Of MBPP+: the order does not matter, nor how often an item is there."""


def any_zero(suite: str, entry_point: str) -> bool:
    """Say whether any zero of a polynomial is right."""
    return suite == "humaneval" and entry_point == FIND_ZERO


def reference_form(suite: str, entry_point: str) -> str:
    """Return what is kept of a canonical solution's output (``Job.results``)."""
    return "not none" if suite == "mbpp" and entry_point in NOT_NONE else output_form(suite, entry_point)


def output_form(suite: str, entry_point: str) -> str:
    """Return what is sent of a candidate's output (``Job.results``)."""
    return "items" if suite == "mbpp" and entry_point in AS_SETS else "value"


def is_match(
    suite: str, entry_point: str, arguments: list[Any], output: Any, expected: Any, atol: float
) -> bool:
    """Say whether an output is right before any tolerance of floats: equal, or as its task has it."""
    if suite == "mbpp" and entry_point in AS_SETS:
        return set(output) == set(expected)
    if suite == "mbpp" and entry_point in NOT_NONE:
        return bool(expected == (output if isinstance(output, bool) else output is not None))
    return bool(output == expected) or (suite == "mbpp" and _also_right(entry_point, arguments, output, atol))


def _also_right(entry_point: str, arguments: list[Any], output: Any, atol: float) -> bool:
    if entry_point == "are_equivalent":  # Mbpp/164
        return True
    if entry_point == "sum_div":  # Mbpp/295
        return bool(output == 0)
    if entry_point == "surface_Area":  # Mbpp/581
        area = output.plain if isinstance(output, Subclassed) else output
        return bool(abs(area - _surface_area(*arguments)) <= atol)
    return entry_point == "digit_distance_nums" and bool(output == _digit_distance(*arguments))  # Mbpp/558


def _surface_area(base_edge: float, height: float) -> int:
    """Of a square pyramid whose height is that of its apex above its base."""
    slant_height = math.sqrt((base_edge / 2) ** 2 + height**2)
    return round(base_edge**2 + 4 * (base_edge * slant_height) / 2)


def _digit_distance(first: int, second: int) -> int:
    """Add up the differences of digits, the shorter number padded with zeros."""
    digits, others = str(first), str(second)
    length = max(len(digits), len(others))
    pairs = zip(digits.zfill(length), others.zfill(length), strict=True)
    return sum(abs(int(digit) - int(other)) for digit, other in pairs)
