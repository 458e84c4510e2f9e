"""Many right outputs are passed over by their bytes at once, and nothing else is."""

from __future__ import annotations

import json
from itertools import accumulate

import pytest

from analysis.grading.expected import Expected
from analysis.grading.isolation.inner import encode
from analysis.grading.isolation.traffic import HEADER

OUTPUTS = [1, "two", [3.5, 4], None, {"five": 6}]


def frame(value: object) -> bytes:
    """As the sandbox sends it."""
    body = json.dumps(encode(value)).encode()
    return HEADER.pack(b"v", len(body)) + body


FRAMES = [frame(output) for output in OUTPUTS]


def expected(*, last_is_right: bool = True) -> Expected:
    return Expected(
        read_inputs=lambda: b"[]",
        read_frames=lambda: b"".join(FRAMES),
        ends=tuple(accumulate(map(len, FRAMES))),
        floats=(False,) * 5,
        same_is_right=(True, True, True, True, last_is_right),
        cpu_s=(0.0,) * 5,
    )


def test_each_output_has_its_body() -> None:
    assert [expected().output(index) for index in range(5)] == OUTPUTS
    assert [expected().start(index) for index in (0, 1)] == [0, len(FRAMES[0])]


@pytest.mark.parametrize(("cut", "known"), [(0, 2), (1, 1), (len(FRAMES[2]), 1), (len(FRAMES[2]) + 1, 0)])
def test_whole_frames_alone_are_known(cut: int, known: int) -> None:
    received = b"".join(FRAMES[1:3])
    assert expected().known(1, received[: len(received) - cut]) == known


def test_the_last_output_is_left_to_be_looked_at_and_what_follows_it_does_no_harm() -> None:
    assert expected().known(0, b"".join(FRAMES)) == 4
    assert expected().known(3, b"".join(FRAMES[3:]) + frame("more")) == 1
    assert expected().known(4, FRAMES[4]) == 0


def test_an_output_that_differs_or_may_be_wrong_though_equal_is_not_known() -> None:
    assert expected().known(0, FRAMES[0] + frame("other")) == 0
    assert expected().known(0, b"e" + FRAMES[0][1:]) == 0
    assert expected(last_is_right=False).known(0, b"".join(FRAMES)) == 0
