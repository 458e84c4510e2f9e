"""Decide whether an output is right by evalplus' rules (0.3.1, ``evalplus/eval/__init__.py``), on plain values.

evalplus compares inside the candidate's process; here both sides are data outside of it.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from analysis.grading.special import any_zero, is_match
from analysis.grading.values import Subclassed

# A list of numbers, none of them nan, whose letters may happen to say so.
_PACKED = re.compile(rb'\["p", "[^"]*"')


class Oracle:
    """Compare the outputs of one run in the order of its inputs.

    The order matters: once a float was expected, evalplus keeps the tolerance of 1e-6 for the rest of the run.
    """

    def __init__(self, entry_point: str, atol: float, suite: str = "humaneval") -> None:
        self._entry_point = entry_point
        self._suite = suite
        self._any_zero = any_zero(suite, entry_point)
        self.atol = atol
        """The absolute tolerance for the next output."""

    def accepts(self, arguments: list[Any], output: Any, expected: Any) -> bool:
        """Say whether evalplus would take this output; whatever cannot be compared is wrong."""
        try:
            with np.errstate(all="ignore"):
                return self._accepts(arguments, output, expected)
        except (TypeError, ValueError, ArithmeticError, RecursionError):
            return False

    def note(self, *, floats: bool) -> None:
        """Take in whether the output expected here is made of floats; ``find_zero`` keeps the tolerance that it has."""
        if floats and self.atol == 0 and not self._any_zero:
            self.atol = 1e-6

    def _accepts(self, arguments: list[Any], output: Any, expected: Any) -> bool:
        if self._any_zero:
            return abs(_polynomial(arguments[0], _plain(output))) <= self.atol
        exact = is_match(self._suite, self._entry_point, arguments, output, expected, self.atol)
        self.note(floats=is_floats(expected))
        if exact or self.atol == 0:
            return exact
        if type(output) is not type(expected) or isinstance(output, Subclassed):
            return False
        if isinstance(expected, (list, tuple)) and len(output) != len(expected):
            return False
        return bool(np.allclose(_plain(output), _plain(expected), rtol=1e-07, atol=self.atol))


def own_encoding_is_right(entry_point: str, encoded: bytes, suite: str = "humaneval") -> bool:
    """Say whether an output that is encoded as the expected one is right without being decoded.

    It is equal then, unless it is not equal to itself (nan); and ``find_zero`` is not a matter of being equal.
    """
    if any_zero(suite, entry_point) or b'["n"' in encoded:
        return False
    return b"NaN" not in _PACKED.sub(b"", encoded)


def is_floats(value: Any) -> bool:
    """Say whether evalplus calls a value floats: it is one, or a list, tuple or array of nothing else."""
    if isinstance(value, float):
        return True
    if isinstance(value, (list, tuple)) and value:
        return all(isinstance(item, float) for item in value)
    return isinstance(value, np.ndarray) and value.dtype in (np.float64, np.float32)


def _plain(value: Any) -> Any:
    """Return a value with nothing but plain types in it, for numpy, which takes a subclass of a number as a number."""
    if isinstance(value, Subclassed):
        return _plain(value.plain)
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value))
    return value


def _polynomial(coefficients: list[float], x: Any) -> float:
    return sum(coefficient * math.pow(x, power) for power, coefficient in enumerate(coefficients))
