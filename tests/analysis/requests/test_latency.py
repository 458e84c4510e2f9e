"""Latency counts from the scheduled time; a chunk is not a token."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.requests.columns import Requests
from analysis.requests.latency import latencies
from tests.support.builders import MS, columns, request


def itl_ms(requests: Requests) -> list[float]:
    """The times between tokens."""
    gaps = latencies(requests).itl
    assert gaps is not None
    assert gaps.values_ms is not None
    return [float(value) for value in gaps.values_ms]


def test_a_late_generator_shows_in_latency_and_as_lag() -> None:
    late = request(1, 100, 500, scheduled_ns=40 * MS, first_token_ns=200 * MS, output_tokens=4)
    latency = latencies(columns(late))
    assert latency.ttft_ms.tolist() == [160.0]
    assert latency.e2e_ms.tolist() == [460.0]
    assert latency.dispatch_lag_ms.tolist() == [60.0]
    assert latency.tpot_ms.tolist() == [100.0]


def test_one_token_has_no_tpot_and_a_failure_has_no_latency() -> None:
    latency = latencies(columns(request(1, 0, 100, output_tokens=1), request(2, 0, 100, status="timeout")))
    assert np.isnan(latency.tpot_ms).all()
    assert latency.e2e_ms[0] == 100.0
    assert np.isnan(latency.e2e_ms[1])


def test_a_chunk_of_two_tokens_is_two_gaps_of_half_its_wait() -> None:
    chunked = request(
        1,
        0,
        90,
        first_token_ns=10 * MS,
        chunk_ns=[10 * MS, 50 * MS, 80 * MS, 90 * MS],
        chunk_tokens=[1, 2, 0, 1],
    )
    assert sorted(itl_ms(columns(chunked))) == [20.0, 20.0, 40.0]


def test_gaps_never_span_two_requests_and_leave_out_filler() -> None:
    first = request(1, 0, 60, first_token_ns=50 * MS, chunk_ns=[50 * MS, 60 * MS], chunk_tokens=None)
    second = request(2, 0, 970, first_token_ns=900 * MS, chunk_ns=[900 * MS, 970 * MS], chunk_tokens=None)
    filler = request(
        3, 0, 500, role="filler", first_token_ns=10 * MS, chunk_ns=[10 * MS, 500 * MS], chunk_tokens=None
    )
    assert itl_ms(columns(first, second, filler)) == pytest.approx([10.0, 70.0])


def test_what_waited_for_a_place_was_not_late_by_the_generator_and_still_waited() -> None:
    queued = [
        request(1, 0, 100),
        request(2, 5, 60, scheduled_ns=5 * MS),
        request(3, 62, 90, scheduled_ns=10 * MS),
        request(4, 91, 120, scheduled_ns=90 * MS),
    ]
    assert latencies(columns(*queued), 2).dispatch_lag_ms.tolist() == [0.0, 0.0, 2.0, 1.0]
    assert latencies(columns(*queued)).dispatch_lag_ms.tolist() == [0.0, 0.0, 52.0, 1.0]
    assert latencies(columns(*queued), 2).e2e_ms.tolist() == [100.0, 55.0, 80.0, 30.0]


def test_where_nobody_says_when_a_request_was_due_its_lag_is_unknown_and_latency_counts_from_its_sending() -> (
    None
):
    latency = latencies(
        columns(request(1, 100, 400, scheduled_ns=None), request(2, 100, 400, scheduled_ns=50 * MS))
    )
    assert np.isnan(latency.dispatch_lag_ms[0])
    assert latency.dispatch_lag_ms[1] == 50.0
    assert latency.e2e_ms.tolist() == [300.0, 350.0]
