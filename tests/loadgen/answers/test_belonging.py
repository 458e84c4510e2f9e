"""However a server frames, splits and follows up its answers, each is that of its own prompt, with every client."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.loadgen.bytes_of import CHUNKED, HEAD, LAST, chunk, good, of_length, refused, stream
from tests.loadgen.raw_server import CLIENTS, RawServer, Step, Then, request_of, rows_of, without_times

INTERIM = (b"", b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * 2)
FRAMED = {
    "chunks": lambda text: b"".join(stream(good(text))),
    "one chunk": lambda text: CHUNKED + chunk(b"".join(good(text))) + LAST,
    "extensions": lambda text: (
        CHUNKED + b"".join(chunk(piece, b";x") for piece in good(text)) + b"0;y=1\r\n\r\n"
    ),
    "trailers": lambda text: b"".join(stream(good(text), last=b"0\r\nX: 0\r\n\r\n")),
    "a length": lambda text: of_length(b"".join(good(text))),
    "CRLF": lambda text: b"".join(stream([piece.replace(b"\n", b"\r\n") for piece in good(text)])),
}
AFTERWARDS = (b"", b"", refused(408), b"".join(stream(good("stray"))), b"\r\n")
ENDS: tuple[Then | None, ...] = (None, None, Then.CLOSE)


@dataclass(frozen=True)
class Manner:
    """How one request is answered."""

    interim: bytes
    framing: str
    afterwards: bytes
    """What comes with the last bytes of the answer, though nobody asked."""
    end: Then | None
    cuts: frozenset[float]
    """Where the answer is split, as shares of its length."""

    def steps(self, text: str) -> list[Step]:
        """The answer that repeats a text."""
        answer = self.interim + FRAMED[self.framing](text)
        edges = [0, *sorted({round(cut * (len(answer) - 1)) for cut in self.cuts}), len(answer)]
        pieces = [answer[start:end] for start, end in pairwise(edges) if start < end]
        pieces[-1] += self.afterwards
        return [*pieces, *([self.end] if self.end else [])]


MANNERS = st.builds(
    Manner,
    st.sampled_from(INTERIM),
    st.sampled_from(sorted(FRAMED)),
    st.sampled_from(AFTERWARDS),
    st.sampled_from(ENDS),
    st.frozensets(st.floats(0, 1), max_size=6),
)


@pytest.fixture(scope="module")
def server() -> Iterator[RawServer]:
    """One for all examples."""
    with RawServer() as raw:
        yield raw


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(manners=st.lists(MANNERS, min_size=2, max_size=5))
def test_each_answer_is_that_of_its_own_prompt(server: RawServer, manners: list[Manner]) -> None:
    prompts = [f"p{number}" for number in range(len(manners))]
    rows: list[list[dict[str, Any]]] = []
    for client in CLIENTS:
        server.begin(lambda prompt, _: manners[int(prompt[1:])].steps(prompt))
        rows.append(
            [
                without_times(row)
                for row in rows_of(client, server.url, [request_of(prompt) for prompt in prompts])
            ]
        )
        assert [(row["status"], row["completion"]) for row in rows[-1]] == [
            ("ok", prompt) for prompt in prompts
        ]
        assert [request["prompt"] for request in server.asked if request["prompt"] in prompts]
    assert rows[0] == rows[1] == rows[2] == rows[3]


def test_a_head_that_no_answer_follows_is_not_taken_for_one(server: RawServer) -> None:
    for client in CLIENTS:
        server.begin(lambda prompt, _: [HEAD, Then.CLOSE] if prompt == "a" else stream(good(prompt)))
        rows = rows_of(client, server.url, [request_of("a"), request_of("b")])
        assert [(row["status"], row["completion"]) for row in rows] == [("connection_error", ""), ("ok", "b")]
