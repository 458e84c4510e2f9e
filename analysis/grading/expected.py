"""What the canonical solution of a task returned, as it came out of its sandbox. It never enters another."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from analysis.grading.values import decode

# evalplus 0.3.1, ``evalplus/config.py``; there in wall-clock time, here in CPU time.
_MIN_LIMIT_S = 1.0
_REFERENCE_FACTOR = 4.0


@dataclass(frozen=True)
class Expected:
    """A list of inputs (JSON, n of them) and, for each, the encoded output, whether evalplus calls it floats, whether
    an output with the same encoding is right without a look at it, and the CPU seconds that it took."""

    inputs: bytes
    encoded: tuple[bytes, ...]  # (n,)
    floats: tuple[bool, ...]  # (n,)
    same_is_right: tuple[bool, ...]  # (n,)
    cpu_s: tuple[float, ...]  # (n,)

    def output(self, index: int) -> Any:
        """The output that was expected for one input; decoded only where it is needed."""
        return decode(json.loads(self.encoded[index]))

    @property
    def cpu_limits_s(self) -> tuple[float, ...]:
        """The CPU seconds that a candidate may take for each input."""
        return tuple(max(_MIN_LIMIT_S, _REFERENCE_FACTOR * seconds) for seconds in self.cpu_s)


@dataclass(frozen=True)
class TaskAnswers:
    """The expected outputs of one task."""

    base: Expected
    plus: Expected

    @property
    def cpu_s(self) -> float:
        """What the canonical solution took for all inputs together."""
        return sum(self.base.cpu_s) + sum(self.plus.cpu_s)
