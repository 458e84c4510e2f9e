"""The window and the shares of requests in it."""

from __future__ import annotations

import pytest

from analysis.requests.window import Window, measured_window, rated, shares_in
from tests.support.builders import MS, columns, request


def test_the_window_runs_from_the_first_measured_send_to_the_last_measured_end() -> None:
    requests = columns(
        request(1, 0, 500, role="warmup"),
        request(2, 100, 700),
        request(3, 300, 900),
        request(4, 800, 2000, role="filler"),
    )
    assert measured_window(requests) == Window(100 * MS, 900 * MS)


def test_a_failed_measured_request_still_belongs_to_the_window() -> None:
    requests = columns(request(1, 0, 500), request(2, 100, 3000, status="timeout"))
    assert measured_window(requests) == Window(0, 3000 * MS)


def test_without_a_completed_measured_request_there_is_no_window() -> None:
    assert measured_window(columns(request(1, 0, 500, status="http_error"))) is None
    assert measured_window(columns(request(1, 0, 500, role="filler"))) is None
    assert measured_window(columns()) is None
    assert measured_window(columns(request(1, 500, 100))) is None


def test_a_straddling_request_counts_by_its_tokens_inside() -> None:
    straddling = request(1, 0, 400, chunk_ns=[100 * MS, 400 * MS], chunk_tokens=[3, 1], output_tokens=4)
    shares = shares_in(columns(straddling), Window(200 * MS, 900 * MS))
    assert shares.share.tolist() == [0.25]
    assert shares.tokens.tolist() == [1.0]


@pytest.mark.parametrize(
    ("due_ms", "takes_ms", "qps", "seconds"),
    [
        ((0, 100), 10, 10, 0.2),  # two requests fill two gaps, not one and an answer
        ((0, 100), 10, None, 0.2),  # a rate that was recorded or searched: by the gaps themselves
        ((0,), 10, 10, 0.1),
        ((0,), 10, None, 0.01),  # nothing tells of a gap
        ((0, 100), 450, 10, 0.55),  # a server that takes longer sets the time
    ],
)
def test_the_rate_of_an_open_load_is_over_at_least_as_many_gaps_as_requests(
    due_ms: tuple[int, ...], takes_ms: int, qps: float | None, seconds: float
) -> None:
    requests = columns(*(request(number, at, at + takes_ms) for number, at in enumerate(due_ms)))
    window = measured_window(requests)
    assert window is not None
    rates = rated(requests, shares_in(requests, window), qps)
    assert rates.request_rate == pytest.approx(len(due_ms) / seconds)
    assert rates.output_token_rate == pytest.approx(10 * len(due_ms) / seconds)


def test_chunks_count_equally_where_their_tokens_are_not_known() -> None:
    unknown = request(1, 0, 400, chunk_ns=[100 * MS, 400 * MS], chunk_tokens=None, output_tokens=8)
    known = request(2, 0, 400, chunk_ns=[100 * MS, 400 * MS], chunk_tokens=[1, 7], output_tokens=8)
    shares = shares_in(columns(unknown, known, unknown), Window(200 * MS, 900 * MS))
    assert shares.share.tolist() == [0.5, 0.875, 0.5]
    assert shares.tokens.tolist() == [4.0, 7.0, 4.0]


def test_a_completed_request_without_chunks_counts_where_it_ended() -> None:
    empty = {"chunk_ns": None, "chunk_tokens": None, "first_token_ns": None, "output_tokens": 0}
    shares = shares_in(
        columns(request(1, 0, 400, **empty), request(2, 0, 100, **empty)), Window(200 * MS, 900 * MS)
    )
    assert shares.share.tolist() == [1.0, 0.0]


def test_failures_count_nothing_and_filler_that_was_cut_off_counts_by_typical_length() -> None:
    cut = request(
        3, 0, 500, role="filler", status="aborted", chunk_ns=[500 * MS], chunk_tokens=[4], output_tokens=None
    )
    shares = shares_in(
        columns(request(1, 0, 500), request(2, 0, 500, status="malformed"), cut), Window(0, 500 * MS)
    )
    assert shares.share.tolist() == [1.0, 0.0, 0.4]
    assert shares.output_tokens == 14.0


def test_tokens_that_nobody_counted_are_unknown_not_zero() -> None:
    silent = request(1, 0, 500, chunk_tokens=None, output_tokens=None)
    shares = shares_in(columns(silent), Window(0, 500 * MS))
    assert shares.requests == 1.0
    assert shares.output_tokens is None


def test_nanoseconds_survive_a_long_uptime() -> None:
    start = 2**60 + 1
    late = request(1, 0, 0, sent_ns=start, scheduled_ns=start, end_ns=start + 3, first_token_ns=start + 1)
    window = measured_window(columns(late))
    assert window == Window(start, start + 3)
    assert window.seconds == pytest.approx(3e-9)


def test_filler_that_was_cut_off_without_chunks_has_its_tokens_evenly_from_the_first_to_its_end() -> None:
    cut = request(
        2, 0, 900, role="filler", status="aborted", first_token_ns=100 * MS, chunk_ns=[], chunk_tokens=[],
        output_tokens=8,
    )  # fmt: skip
    shares = shares_in(columns(request(1, 0, 500), cut), Window(0, 500 * MS))
    assert shares.tokens.tolist() == [10.0, 4.0]
    assert shares.share.tolist() == [1.0, 0.4]
