"""A finish reason means an end, none yet, or an engine that gave up, in whichever engine's words."""

from __future__ import annotations

import pytest

from loadgen.answers.finish_reasons import gave_up, is_said
from loadgen.clients.exchange import Exchange
from loadgen.rows import row_of
from tests.loadgen.bytes_of import DONE, event, token
from tests.loadgen.raw_server import ITEM

FINISHED = (
    "stop", "length", "eos", "eos_token", "stop_sequence", "max_tokens", "content_filter", "tool_calls",
    "end_turn", "repetition", "sensitive", "model_length",
)  # fmt: skip
GAVE_UP = (
    "abort", "error", "CANCELLED", "canceled", "timeout", "timed_out", "TIMED_OUT", "failed", "network_error",
    "insufficient_system_resource", "ERROR_LIMIT", "overloaded", "preempted", "interrupted",
)  # fmt: skip
NONE_YET = ("", "null", "None", "not_finished", None)


@pytest.mark.parametrize("reason", FINISHED)
def test_an_end_is_an_end(reason: str) -> None:
    assert is_said(reason)
    assert not gave_up(reason)


@pytest.mark.parametrize("reason", GAVE_UP)
def test_an_engine_that_gave_up_has_said_so(reason: str) -> None:
    assert is_said(reason)
    assert gave_up(reason)


@pytest.mark.parametrize("reason", NONE_YET)
def test_none_yet_is_no_reason(reason: str | None) -> None:
    assert not is_said(reason)


@pytest.mark.parametrize("status", ["timeout", "connection_error", "aborted"])
def test_what_a_server_said_before_it_fell_silent_is_told(status: str) -> None:
    exchange = Exchange(sent_ns=1, end_ns=9, http_status=200, status=status, error="it never ended")
    exchange.pieces = [token("a", 1), event({"error": {"message": "boom"}})]
    exchange.pieces_ns = [2, 3]
    row = row_of(0, ITEM, 1, exchange)
    assert (row["status"], row["completion"]) == (status, "a")
    assert row["error"] == 'it never ended; before, the server sent an error: {"message":"boom"}'


def test_what_is_cut_off_is_no_word_of_the_servers() -> None:
    exchange = Exchange(sent_ns=1, end_ns=9, http_status=200, status="connection_error", error="cut off")
    exchange.pieces, exchange.pieces_ns = [token("a", 1), token("b", 2)[:-9]], [2, 3]
    assert row_of(0, ITEM, 1, exchange)["error"] == "cut off"
    exchange.pieces[1] = DONE + event({"error": "late"})
    assert row_of(0, ITEM, 1, exchange)["error"] == "cut off"
