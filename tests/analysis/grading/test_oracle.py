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

from analysis.grading.inner import encode
from analysis.grading.oracle import Oracle, own_encoding_is_right

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
