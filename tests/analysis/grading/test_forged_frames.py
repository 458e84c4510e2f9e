"""Whatever comes on the results channel raises nothing, takes bounded time and memory, and spoils no other verdict."""

from __future__ import annotations

import base64
import contextlib
import json
import resource
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from analysis.grading.cache import Cache
from analysis.grading.comparer import Comparer, ComparerDiedError
from analysis.grading.comparing import compare
from analysis.grading.expected import TaskAnswers
from analysis.grading.isolation.launch import Launch, plain
from analysis.grading.isolation.sandbox import Sandbox
from analysis.grading.isolation.traffic import HEADER
from analysis.grading.judge import Judgement, judge
from analysis.grading.references import expected_answers
from analysis.grading.values import printable
from tests.analysis.grading.honest import DATASET, TASK
from tests.support.busy import PATIENCE_S

#: In the place of process 1 and its candidates: writes what it is told, for base and plus, and says that all is well.
LIAR = """
import base64, json, os, socket, struct, sys
control = socket.socket(fileno=int(sys.argv[1]))
control.send(b'{"why": "ready"}')
while message := socket.recv_fds(control, 4096, 2)[:2]:
    if not message[0]:
        break
    if message[0] == b"stop":
        continue
    requests, results = message[1]
    with open(requests, "rb") as request:
        head = json.loads(request.read(struct.unpack(">I", request.read(4))[0]))
    with open(results, "wb") as out:
        out.write(base64.b64decode(json.loads(head["code"])[str(len(head["cpu_limits_s"]))]))
    control.send(b'{"why": "ended", "status": 0, "cpu_s": 0.0, "clean": true}')
"""
BOUND_S, BOUND_BYTES = 60.0, 300 << 20


def liar(_worker: int, control: int, _passed: contextlib.ExitStack) -> Launch:
    return Launch([sys.executable, "-c", LIAR, str(control)], {}, uid=None)


@pytest.fixture(scope="module")
def answers() -> TaskAnswers:
    with contextlib.closing(Cache(None)) as cache:
        return expected_answers(DATASET, [TASK.task_id], cache, plain)[TASK.task_id]


@pytest.fixture(scope="module")
def box() -> Iterator[tuple[Sandbox, Comparer]]:
    comparer = Comparer()
    with Sandbox(launcher=liar) as sandbox, contextlib.closing(comparer):
        yield sandbox, comparer


def frame(kind: bytes, body: bytes) -> bytes:
    return HEADER.pack(kind, len(body)) + body


BEGIN = frame(b"b", b"")
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
    st.sampled_from(["\ud800", "0x" + "f" * 500]),
)  # fmt: skip
TAGS = st.sampled_from([*"ltsfdipbBcDuorqn", "zz", "<f8", "O", ""])
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(TAGS, inner).map(list),
        st.tuples(TAGS, inner, inner).map(list),
        st.tuples(
            st.just("n"),
            st.sampled_from(["<f8", "<i8", "O", "|b1"]),
            st.lists(st.integers(-1, 10**18)),
            inner,
        ),
        st.tuples(st.sampled_from("lstfd"), st.lists(inner, max_size=4)).map(list),
        st.dictionaries(st.sampled_from(["raised", "syntax", "text", "memory", "cpu_s"]), inner),
    ),
    max_leaves=12,
)
BODIES = st.one_of(VALUES.map(lambda value: json.dumps(value).encode()), st.binary(max_size=30))
FRAMES = st.one_of(
    st.builds(frame, st.sampled_from([b"v", b"v", b"v", b"e", b"b", b"x"]), BODIES),
    st.builds(lambda size, body: HEADER.pack(b"v", size) + body, st.integers(0, 2**32 - 1), BODIES),
    st.binary(max_size=20),
)


def judged(box: tuple[Sandbox, Comparer], answers: TaskAnswers, base: bytes, plus: bytes) -> Judgement:
    told = {len(TASK.base_inputs): base, len(TASK.plus_inputs): plus}
    assert len(told) == 2
    code = json.dumps({count: base64.b64encode(text).decode() for count, text in told.items()})
    return judge(*box, TASK, code, answers)


@given(right=st.integers(0, 3), forged=st.lists(FRAMES, max_size=6), begun=st.booleans())
@example(
    right=0, forged=[frame(b"v", b'["s", [' + b'["i", "0x1fffffffffffffff"], ' * 3000 + b"1]]")], begun=True
)
@example(right=1, forged=[frame(b"v", b"[" * 30000)], begun=True)
@example(right=0, forged=[frame(b"e", b'{"raised": "' + b"x" * 10**6 + b'"}')], begun=False)
@example(right=0, forged=[b"v" + b"\xff" * 4 + b"1" * (17 << 20)], begun=True)
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_frames_are_a_verdict_and_no_more(
    right: int, forged: list[bytes], begun: bool, box: tuple[Sandbox, Comparer], answers: TaskAnswers
) -> None:
    prefix = answers.base.frames[: answers.base.start(right)]
    sent = (BEGIN if begun else b"") + prefix + b"".join(forged)
    began, memory = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    judgement = judged(box, answers, sent, sent)
    assert time.monotonic() - began < BOUND_S
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) << 10 < BOUND_BYTES
    assert not judgement.verdict.plus
    assert len(judgement.verdict.detail) <= 500
    assert judgement.verdict.detail.isprintable()
    json.dumps(asdict(judgement.verdict), ensure_ascii=False).encode()
    honest = judged(box, answers, BEGIN + answers.base.frames, BEGIN + answers.plus.frames)
    assert (honest.verdict.reason, honest.sure) == ("passed", True), "the next one suffered"


@given(output=BODIES, expected=VALUES)
@settings(max_examples=300, deadline=None)
def test_comparing_never_raises(output: bytes, expected: object) -> None:
    about = b'{"entry_point": "f", "atol": 0.0}'
    answer = compare(about, b"[1]", output, json.dumps(expected).encode())
    assert set(answer) in ({"right", "detail"}, {"forged"})


def test_what_takes_too_long_or_too_much_to_compare_is_wrong_and_the_next_is_compared() -> None:
    with contextlib.closing(Comparer(cpu_limit_s=0.5)) as comparer:
        row = json.dumps(["l", list(range(200_000))]).encode()
        column = json.dumps(["n", "<i8", [200_000, 1], list(range(200_000))]).encode()
        compared = comparer.compare("f", 0.0, [1], column, row)
        assert not compared.right
        assert "cannot be compared" in compared.detail
        colliding = json.dumps(["s", [["i", hex(k * (2**61 - 1))] for k in range(1, 60_001)]]).encode()
        compared = comparer.compare("f", 0.0, [1], colliding, b'["s", [1]]')
        assert not compared.right
        assert "cannot be compared" in compared.detail
        assert comparer.compare("f", 0.0, [1], b"1.0", b"1").right
        with pytest.raises(ValueError, match="not an encoded value"):
            comparer.compare("f", 0.0, [1], b"{}", b"1")


def test_a_comparer_that_was_killed_compares_nothing_more() -> None:
    comparer = Comparer()
    assert comparer.compare("f", 0.0, [1], b"1", b"1").right
    comparer.close()
    comparer.close()
    with pytest.raises(ComparerDiedError):
        comparer.compare("f", 0.0, [1], b"1", b"1")


def test_a_comparison_in_progress_can_be_ended_by_another_thread() -> None:
    colliding = json.dumps(["s", [["i", hex(k * (2**61 - 1))] for k in range(1, 60_001)]]).encode()
    comparer, ended = Comparer(cpu_limit_s=600.0), []

    def compare_for_minutes() -> None:
        try:
            comparer.compare("f", 0.0, [1], colliding, b'["s", [1]]')
        except ComparerDiedError as error:
            ended.append(str(error))

    thread = threading.Thread(target=compare_for_minutes)
    thread.start()
    while comparer._process is None:
        time.sleep(0.01)
    comparer.kill()
    thread.join(PATIENCE_S)
    comparer.close()
    assert ended == ["it was killed"]


def test_text_that_cannot_be_shown_is_escaped() -> None:
    assert printable("a\x1b[2J\n\ud800\u202eé") == "a\\x1b[2J\\n\\ud800\\u202eé"
    assert len(printable("\x00" * 1000)) == 500
