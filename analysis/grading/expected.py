"""What the canonical solution of a task returned, as it came out of its sandbox. It never enters another."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from analysis.grading.isolation.traffic import HEADER
from analysis.grading.values import Digest, decode

# evalplus 0.3.1, ``evalplus/config.py``; there in wall-clock time, here in CPU time.
_MIN_LIMIT_S = 1.0
_REFERENCE_FACTOR = 4.0
_DIGEST = b'["#"'


@dataclass(frozen=True)
class AboutOutputs:
    """Hold what is known of n outputs beside the outputs themselves."""

    ends: tuple[int, ...]  # (n,) of each frame
    floats: tuple[bool, ...]  # (n,)
    same_is_right: tuple[bool, ...]  # (n,)
    cpu_s: tuple[float, ...]  # (n,)


@dataclass(frozen=True)
class Expected(AboutOutputs):
    """A list of n inputs and, for each, the frame in which its output came, whether evalplus calls it floats, whether
    an output with the same encoding is right without a look at it, and the CPU seconds that it took.

    The two that are large are read when they are first asked for, by whichever thread asks.
    """

    read_inputs: Callable[[], bytes]
    read_frames: Callable[[], bytes]

    @cached_property
    def inputs(self) -> bytes:
        """Return a JSON list of them, each a list of arguments."""
        return self.read_inputs()

    @cached_property
    def frames(self) -> bytes:
        """Return them one after the other, as they were sent."""
        return self.read_frames()

    def output(self, index: int) -> Any:
        """Return the output that was expected for one input; decoded only where it is needed."""
        return decode(json.loads(self.body(index)))

    def body(self, index: int) -> bytes:
        """Return the encoded output that was expected for one input."""
        return self.frames[self.start(index) + HEADER.size : self.ends[index]]

    def start(self, index: int) -> int:
        """Say where the frame of one output begins."""
        return self.ends[index - 1] if index else 0

    def known(self, done: int, received: bytes) -> int:
        """Count the outputs after the first ``done`` that are whole in ``received``, and right by their bytes alone.

        The last output is never among them. All are compared at once: a task has a thousand.
        """
        if not self.ends or not all(self.same_is_right):
            return 0
        start = self.start(done)
        usable = min(len(received), self.start(len(self.ends) - 1) - start)
        if usable <= 0 or not self.frames.startswith(received[:usable], start):
            return 0
        return bisect_right(self.ends, start + usable) - done

    @property
    def encoded_bytes(self) -> tuple[int, ...]:
        """Return how much a right candidate encodes for each output: its frame, or what is behind a digest."""
        return tuple(map(self._encoded_bytes, range(len(self.ends))))

    def _encoded_bytes(self, index: int) -> int:
        start, end = self.start(index), self.ends[index]
        if not self.frames.startswith(_DIGEST, start + HEADER.size):
            return end - start
        digest = self.output(index)
        return digest.encoded_bytes if isinstance(digest, Digest) else end - start

    @property
    def cpu_limits_s(self) -> tuple[float, ...]:
        """Return the CPU seconds that a candidate may take for each input."""
        return tuple(max(_MIN_LIMIT_S, _REFERENCE_FACTOR * seconds) for seconds in self.cpu_s)


@dataclass(frozen=True)
class TaskAnswers:
    """The expected outputs of one task."""

    base: Expected
    plus: Expected

    @property
    def cpu_s(self) -> float:
        """Say what the canonical solution took for all inputs together."""
        return sum(self.base.cpu_s) + sum(self.plus.cpu_s)
