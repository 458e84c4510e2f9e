"""What the sandbox encodes is decoded as the same value, and what it never writes is refused."""

from __future__ import annotations

import json
import math
from collections import Counter, OrderedDict, UserDict, defaultdict, namedtuple
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from analysis.grading.isolation.inner import encode, packed
from analysis.grading.values import MalformedValueError, Opaque, decode, printable, short

VALUES: list[Any] = [
    None, True, 0, -1, 2**53, -(2**60), 10**400, 0.1, -0.0, math.inf, "", "\ud800 é", b"\0\xff", bytearray(b"x"),
    "\ud83d\udca9", ["\U0001f4a9"],
    1 + 2j,
    [], [1, [2.5, "x"]], (), (1, (2,)), {1, 2}, frozenset({"a"}), {}, {"a": [1], 2: (3,), (1, 2): None}, range(1, 9, 2),
    Fraction(1, 3), Decimal("1.50"), [True, 1, 1.0],
    [1, 3, *(at / 7 for at in range(2000)), 5], [-0.0, math.inf, 1e308, *[0.5] * 1000], [*range(2000), 0.5],
    [0.5] * 1000 + [True], [2**60, *[0.5] * 1000], [[0.1] * 1000, [0.2]],
]  # fmt: skip


def through(value: Any) -> Any:
    return decode(json.loads(packed(encode(value))))


@pytest.mark.parametrize("value", VALUES, ids=short)
def test_a_plain_value_comes_back_equal_and_of_its_type(value: Any) -> None:
    result = through(value)
    assert type(result) is type(value)
    assert result == value
    assert repr(result) == repr(value) if value != 10**400 else True


def test_nan_comes_back_and_is_seen_in_the_bytes() -> None:
    assert math.isnan(through(math.nan))
    numbers = [math.nan, *[0.5] * 2000]
    assert math.isnan(through(numbers)[0])
    assert "NaN" in json.dumps(encode(numbers))


def test_a_long_list_of_floats_travels_as_bytes() -> None:
    numbers = [1, 3, *(at / 7 for at in range(2000))]
    assert encode(numbers)[0] == "p"
    assert [type(item) for item in through(numbers)[:3]] == [int, int, float]
    assert len(json.dumps(encode(numbers))) < 0.7 * len(json.dumps(numbers))


@pytest.mark.parametrize(
    "value", [np.float64(1.5), np.int64(3), np.bool_(True), np.array([[1, 2], [3, 4]])], ids=repr
)
def test_numbers_and_arrays_of_numpy_keep_their_type(value: Any) -> None:
    result = through(value)
    assert type(result) is type(value)
    assert result.dtype == value.dtype
    assert np.array_equal(result, value)


class Colour(IntEnum):
    RED = 3


class Seconds(np.float64):
    pass


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(int, a=1), {"a": 1}),
        (Point(1, 2), (1, 2)),
        (Colour.RED, 3),
        (Seconds(1.5), 1.5),
        (np.str_("a"), "a"),
        (UserDict(a=1), {"a": 1}),
        (UserDict(a=1).keys(), {"a"}),
    ],
)
def test_a_subclass_compares_as_its_plain_type_but_is_not_of_it(value: Any, plain: Any) -> None:
    assert through(value) == plain
    assert through([value]) == [plain]
    assert type(through(value)) is not type(plain)


def test_an_array_without_dimensions_is_not_what_it_holds() -> None:
    """It is compared item by item with a list, as any array."""
    held = np.empty((), dtype=object)
    held[()] = ["a", "b"]
    result = through(held)
    assert (type(result), result.shape, result.item()) == (np.ndarray, (), ["a", "b"])


class AlwaysEqual:
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


class EqualNumber(int):
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


@pytest.mark.parametrize("value", [AlwaysEqual(), EqualNumber(1), iter([1]), len, object(), AlwaysEqual])
def test_a_value_with_its_own_idea_of_equality_is_equal_to_nothing(value: Any) -> None:
    result = through(value)
    assert isinstance(result, Opaque)
    others: list[Any] = [1, 2, None, []]
    assert result not in others


@pytest.mark.parametrize(
    "encoded",
    [
        [], {}, {"a": 1}, [1], ["x", 1], ["l"], ["l", 1], ["l", [], []], ["d", [[1]]], ["d", [[["l", []], 1]]],
        ["s", [["l", []]]], ["i", 5], ["i", "zz"], ["b", "0"], ["c", 1], ["c", "a", "b"], ["q", 1, 0], ["q", 0.5, 1],
        ["r", 1, 2, 0], ["D", "one"], ["n", "V", [], [1]], ["n", "<f8", [2], [1]], ["n", "<f8", [-1], []],
        ["n", "<f8", ["2"], [1, 2]], ["p", "AAAA", []], ["p", "?", []], ["p", 5, []], ["p", "AAAAAAAA8D8=", [1]],
        ["p", "AAAAAAAA8D8=", [-1]], ["p", "AAAAAAAA8D8=", ["0"]], ["p", "AAAAAAAA4D8=", [0]], ["p", "AAAAAAAA8D8="],
        ["n", "<i8", [1], ["x"]], ["n", "<u1", [1], [1000]], ["n", 8, [], [1]],
        ["n", "<f16", [], [1.5]], ["n", "<f16", [1], [["1.5", "0"]]], ["n", "<c32", [1], [["1.e+0"]]],
        ["n", "<f16", [2], [["1.e+0", "0.e+0"]]], ["n", "<f16", [1], [["9" * 99, "0.e+0"]]],
    ],
    ids=repr,
)  # fmt: skip
def test_what_the_encoder_never_writes_is_malformed(encoded: Any) -> None:
    with pytest.raises(MalformedValueError):
        decode(encoded)


def test_nesting_beyond_every_depth_is_cut_inside_and_refused_outside() -> None:
    nested: Any = 1
    for _ in range(500):
        nested = [nested]
    assert through(nested) != nested
    encoded: Any = 1
    for _ in range(500):
        encoded = ["l", [encoded]]
    with pytest.raises(MalformedValueError):
        decode(encoded)


def test_a_name_that_a_program_chose_commands_no_terminal_and_can_be_written() -> None:
    hostile = "\x1b[2J\ud800\x9b31m\nй"
    assert repr(decode(["u", hostile, ["l", [1]]])) == r"\x1b[2J\ud800\x9b31m\nй([1])"
    assert repr(decode(["o", "\x1b[2J"])) == r"<\x1b[2J>"
    assert printable("a\\ 'b'~") == "a\\ 'b'~"
    assert len(printable("\n" * 999)) == 500


def test_a_message_stays_short_whatever_it_shows() -> None:
    assert all(
        len(short(value)) <= 200
        for value in ["x" * 10**6, list(range(10**5)), 10**5000, [[["x" * 999] * 99] * 99]]
    )
