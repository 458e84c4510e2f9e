"""The oracle takes what evalplus takes: its own check is run beside ours on the same outputs."""

from __future__ import annotations

import base64
import json
import math
import struct
from typing import Any

import numpy as np
import pytest
from evalplus.eval import PASS, untrusted_check

from analysis.grading.isolation.inner import encode, packed
from analysis.grading.oracle import Oracle, own_encoding_is_right
from analysis.grading.values import decode

CASES: list[tuple[float, list[Any], list[Any]]] = [
    (0, [1], [1]),
    (0, [1], [1.0]),
    (0, [1], [True]),
    (0, [1], [2]),
    (0, [[1, 2]], [(1, 2)]),
    (0, [(1, 2)], [(1, 2)]),
    (0, [0.3], [0.1 + 0.2]),
    (0, [0.3], [0.3001]),
    (0, [1.0], [1]),
    (0, [[0.3]], [[0.1 + 0.2]]),
    (0, [[0.3]], [(0.1 + 0.2,)]),
    (0, [[0.3, 1]], [[0.1 + 0.2, 1]]),
    (0, [[0.5, 0.5]], [[0.5]]),
    (0, [0.5, "a"], [0.5, "a"]),
    (0, [0.5, 7], [0.5, 7.0000001]),
    (0, [0.5, [1, 2]], [0.5, [1, 2.0000001]]),
    (0, [[1, 2], 0.5], [[1, 2.0000001], 0.5]),
    (0, [0.5, {"a": 1}], [0.5, {"a": 1.0000001}]),
    (0, [None], [0]),
    (0, [math.nan], [math.nan]),
    (0, [math.inf], [math.inf]),
    (0, [[]], [[]]),
    (0, [[]], [()]),
    (1e-6, [3], [3.0000001]),
    (1e-6, [3.0], [3.0000001]),
    (1e-6, [3.0], [np.float64(3.0)]),
    (1e-6, [3.0], [np.float64(3.0000001)]),
    (1e-6, ["a"], ["b"]),
    (1e-6, [[1.0, [2.0]]], [[1.0, [2.0]]]),
    (0, [3], [np.int64(3)]),
    (0, [[1, 2]], [np.array([1, 2])]),
    (0, [3], [np.array([3])]),
    (0, [{1, 2}], [frozenset({2, 1})]),
]


@pytest.mark.parametrize(("atol", "expected", "outputs"), CASES, ids=repr)
def test_an_output_is_accepted_exactly_when_evalplus_accepts_it(
    atol: float, expected: list[Any], outputs: list[Any]
) -> None:
    code = "import numpy as np\nfrom numpy import array, inf, nan\n"
    code += f"outputs = iter({[repr(output) for output in outputs]!r})\ndef f(n):\n    return eval(next(outputs))\n"
    inputs = [[n] for n in range(len(expected))]
    status, _ = untrusted_check(
        "humaneval", code, inputs, "f", expected, atol, [0.1] * len(inputs), fast_check=True
    )
    oracle = Oracle("f", atol)
    ours = all(map(oracle.accepts, inputs, outputs, expected))
    assert ours == (status == PASS)


# Expected, and what a program returns instead, as it writes it.
FORMS: list[tuple[list[Any], str]] = [
    ([[1, 2]], "collections.UserList([1, 2])"),
    ([[1, 2]], "collections.UserList([1, 3])"),
    ([[0.3]], "collections.UserList([0.1 + 0.2])"),
    ([[[1], [2]]], "[collections.UserList([1]), [2]]"),
    ([{"a": 1}], "collections.UserDict(a=1)"),
    ([{"a": 1}], "collections.UserDict(a=2)"),
    ([{"a": 1}], "collections.ChainMap({'a': 1}, {'a': 2})"),
    ([{"a": 1}], "types.MappingProxyType({'a': 1})"),
    ([{"a": [1]}], "types.MappingProxyType({'a': collections.UserList([1])})"),
    (["x"], "collections.UserString('x')"),
    (["x"], "collections.UserString('y')"),
    ([["x"]], "[collections.UserString('x')]"),
    ([{1, 2}], "{1: 0, 2: 0}.keys()"),
    ([{(1, 2)}], "{1: 2}.items()"),
    ([[1, 2]], "{1: 0, 2: 0}.keys()"),
    ([[1, 2]], "collections.deque([1, 2])"),
    ([[1, 2]], "array.array('i', [1, 2])"),
    ([3], "np.longdouble(3)"),
    ([0.5], "np.longdouble(0.5)"),
    ([1 / 3], "np.longdouble(1) / 3"),
    ([[1 / 3]], "[np.longdouble(1) / 3]"),
    ([3], "np.clongdouble(3)"),
    ([3], "np.clongdouble(3 + 1e-300j)"),
    ([math.inf], "np.longdouble('1e4000')"),
    ([math.inf], "np.longdouble('inf')"),
    ([3], "np.array(3, dtype=np.longdouble)"),
    ([[3, 4]], "np.array([3, 4], dtype=np.longdouble)"),
    ([3], "np.ma.array(3)"),
    ([3], "np.ma.array([3])"),
    ([3], "np.ma.array([3], mask=[1])"),
    ([3], "np.ma.masked"),
    ([[3, 4]], "np.ma.array([3, 4])"),
    ([3], "np.matrix([[3]])"),
    ([3], "np.matrix([[4]])"),
    ([[[3]]], "np.matrix([[3]])"),
    ([10**30], "np.matrix([[10 ** 30]])"),
    (["x"], "np.str_('x')"),
    (["x"], "np.array('x')"),
    ([b"x"], "np.bytes_(b'x')"),
    ([b"x"], "memoryview(b'x')"),
    ([b"x"], "memoryview(array.array('H', b'xx'))"),
    (["\U0001f4a9"], r"'\ud83d\udca9'"),
    ([["\U0001f4a9", 1]], r"['\ud83d\udca9', 1]"),
    (["\ud83d"], r"'\ud83d'"),
    ([0.3], "Number(0.1 + 0.2)"),
    ([[0.3, 1.0]], "[Number(0.1 + 0.2), 1.0]"),
    ([0.5, [[0.3]]], "[[Number(0.1 + 0.2)]]"),
    ([[0.3]], "[fractions.Fraction(3, 10)]"),
    ([[0.3]], "[decimal.Decimal('0.3')]"),
    ([0.5], "fractions.Fraction(1, 2)"),
    ([3], "decimal.Decimal(3)"),
    ([[0, 1]], "range(2)"),
    ([(1, 2)], "collections.namedtuple('P', 'x y')(1, 2)"),
    ([3], "enum.IntEnum('E', {'A': 3}).A"),
    ([{"a": 2}], "collections.Counter('aa')"),
]
_IMPORTS = "import array, collections, decimal, enum, fractions, types\nimport numpy as np\n"
_IMPORTS += "class Number(float):\n    pass\n"


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize(("expected", "form"), FORMS, ids=repr)
def test_another_form_of_an_output_is_accepted_exactly_when_evalplus_accepts_it(
    expected: list[Any], form: str
) -> None:
    """The last output comes in this form, through the sandbox's encoding; what comes before it is right."""
    last = len(expected) - 1
    code = (
        f"{_IMPORTS}first = {expected[:last]!r}\ndef f(n):\n    return {form} if n == {last} else first[n]\n"
    )
    inputs = [[n] for n in range(len(expected))]
    status, _ = untrusted_check(
        "humaneval", code, inputs, "f", expected, 0, [9.0] * len(inputs), fast_check=True
    )
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 -- our own list
    oracle = Oracle("f", 0)
    outputs = [decode(json.loads(packed(encode(names["f"](n))))) for (n,) in inputs]
    assert all(map(oracle.accepts, inputs, outputs, expected)) == (status == PASS)


def test_any_zero_of_the_polynomial_is_right_for_find_zero() -> None:
    oracle = Oracle("find_zero", 1e-4)
    assert oracle.accepts([[-6, 11, -6, 1]], 1.0, 3.0)
    assert oracle.accepts([[-6, 11, -6, 1]], 2.00000001, 3.0)
    assert not oracle.accepts([[-6, 11, -6, 1]], 1.5, 3.0)
    assert not oracle.accepts([[-6, 11, -6, 1]], math.nan, 3.0)


@pytest.mark.parametrize(
    "output", ["x", None, 1j, [1], 10**400, object()], ids=lambda output: type(output).__name__
)
def test_what_can_not_be_compared_is_wrong(output: Any) -> None:
    assert not Oracle("find_zero", 1e-4).accepts([[-6, 11, -6, 1]], output, 3.0)
    assert not Oracle("f", 1e-6).accepts([], output, 3.0)


def test_a_packed_list_is_right_by_its_bytes_whatever_its_letters_spell() -> None:
    (encoded,) = struct.unpack("<d", base64.b64decode("NaNNaNNaN8A="))
    body = json.dumps(encode([encoded, *[0.5] * 1000])).encode()
    assert b"NaN" in body
    assert own_encoding_is_right("f", body)
    assert not own_encoding_is_right("f", json.dumps(encode([[float("nan")], [0.5] * 1000])).encode())
    assert not own_encoding_is_right("f", json.dumps(encode([float("nan"), *[0.5] * 1000])).encode())
    assert not own_encoding_is_right("find_zero", body)
