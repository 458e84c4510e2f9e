"""Say what a person must hear of a load test beside its figures."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from starwatt_errors import counted

_MOST_KINDS = 5
_LONGEST_WORDS = 300
_NOT_THERE = (404, 405)
"""That may be of the address."""
_LENGTHS_OF = {"prompts": "prompts", "outputs": "answers"}
_NUMBERS = re.compile(r"\b[0-9a-fA-F]*\d[0-9a-fA-F-]*\b")


ERROR_COLUMNS = ("end_ns", "role", "status", "http_status", "error")


def first_errors(table: pa.Table) -> list[dict[str, Any]]:
    """List the first kinds of failure in the order in which they came, each with first words and its count.

    Where some are not of the measured requests, ``measured`` counts those that are. What differs by numbers alone is
    one kind. Filler that was cut off at the end has not failed.
    """
    kinds: dict[tuple[str, int | None, str], dict[str, Any]] = {}
    measured: Counter[tuple[str, int | None, str]] = Counter()
    failed = table.select(ERROR_COLUMNS).filter(pc.not_equal(table["status"], "ok"))
    for row in failed.sort_by("end_ns").to_pylist():
        if (row["role"], row["status"]) == ("filler", "aborted"):
            continue
        words = _one_line(row["error"] or "")
        key = (row["status"], row["http_status"], _NUMBERS.sub("#", words))
        kind = kinds.setdefault(
            key, {"status": row["status"], "http_status": row["http_status"], "error": words, "count": 0}
        )
        kind["count"] += 1
        measured[key] += row["role"] == "measured"
    return [
        kind if measured[key] == kind["count"] else {**kind, "measured": measured[key]}
        for key, kind in list(kinds.items())[:_MOST_KINDS]
    ]


def remarks(summary: dict[str, Any]) -> list[str]:
    """Say what a person must hear beside the figures: failures, what these do not say, what makes them invalid."""
    metrics, audit = summary["metrics"], summary["audit"]
    said = [_words_of(kind, summary.get("asked_at")) for kind in summary["first_errors"]]
    if summary["gave_up"]:
        said.append(f"the load stopped before its end: {summary['gave_up']}")
    if not metrics["completed_requests"]:
        said.append("no request was completed: there are no figures")
    elif 2 * metrics["not_streamed"] > metrics["completed_requests"]:
        said.append(
            f"nothing was streamed: the tokens of {metrics['not_streamed']} answers came all at once, so that TTFT is "
            "that of whole answers, and there is no TPOT (a proxy that buffers?)"
        )
    if metrics["completed_requests"] and metrics.get("output_token_rate") is None:
        said.append(
            "the server does not say how many tokens an answer has (no `usage` in it): there is neither TPOT nor "
            "tokens/s (tokens_unknown)"
        )
    if audit["resent"]:
        count = audit["resent"]
        said.append(
            f"{count} request{' was' if count == 1 else 's were'} sent again: the server had closed a kept "
            "connection"
        )
    said += _words_of_lengths(summary.get("recording"))
    return [*said, *(_words_of_a_problem(problem) for problem in summary.get("invalid", ()))]


def _words_of_lengths(recording: Mapping[str, Any] | None) -> list[str]:
    """Return a sentence for prompts, and one for answers, where some were not as long as the recording says."""
    apart = [(name, recording[name]) for name in ("prompts", "outputs") if recording and recording.get(name)]
    return [
        f"{of['other']} of {of['counted']} {_LENGTHS_OF[name]} were not as long as recorded (at most "
        f"{of['largest']:+d} tokens): requests.parquet has both lengths of each"
        for name, of in apart
        if of["other"]
    ]


def _words_of_a_problem(problem: Mapping[str, Any]) -> str:
    lo, hi = problem["lo"], problem["hi"]
    bounds = f"at least {lo:.4g}" if lo is not None else f"at most {hi:.4g}"
    measured = f"{problem['value']:.4g} {problem['unit']}"
    words = problem["explanation"].rstrip(".")
    return f"not to be believed: {words}: {measured}, allowed {bounds} ({problem['reason']})"


def _words_of(kind: Mapping[str, Any], asked_at: str | None) -> str:
    at = f" (asked: {asked_at})" if asked_at and kind["http_status"] in _NOT_THERE else ""
    http = "" if kind["http_status"] is None else f" (HTTP {kind['http_status']})"
    measured = kind.get("measured", kind["count"])
    others = "" if measured == kind["count"] else f", {measured or 'none'} of them measured"
    failed = f"{counted(kind['count'], 'request')}{others}: {kind['status']}{http}"
    return f"{failed}: {kind['error'] or 'without a word'}{at}"


def _one_line(words: str) -> str:
    """Return a server's words on one line, with nothing that controls a terminal."""
    printable = "".join(character if character.isprintable() else " " for character in words)
    return " ".join(printable.split())[:_LONGEST_WORDS]
