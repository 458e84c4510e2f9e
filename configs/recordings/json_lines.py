"""Read a recording as JSON Lines, one object a request, as Mooncake publishes its traces.

``timestamp`` is in milliseconds there, from the trace's beginning. Alibaba's Bailian traces have the same names, and
``timestamp`` in seconds: they are known by their ``chat_id``. Counts since 1970 say by their size what they count.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from configs.files.instants import NS_PER_S, Instants
from configs.files.plain_json import json_object, numbered_lines
from configs.recordings.recording import Lengths, RequestLine, tokens_of
from starwatt_errors import UsageError

_PROMPT = ("input_length", "prompt_tokens", "input_tokens")
_OUTPUT = ("output_length", "output_tokens")
_SHOWN = 40


def is_json_lines(text: str) -> bool:
    """Say whether a file's first line is a JSON object."""
    return text.lstrip().startswith("{")


def lines_of_json(path: Path, text: str) -> list[RequestLine]:
    """Return every request of the file; fields that are not taken are passed over.

    Raises:
        UsageError: a line is no JSON object, or a field of it is missing or wrong.
    """
    lines: list[RequestLine] = []
    times: Instants | None = None
    for number, line in numbered_lines(text):
        row = json_object(f"{path}:{number}", line, "timestamp, an input_length and an output_length")
        times = times or Instants(NS_PER_S if "chat_id" in row else NS_PER_S // 1000)
        lines.append(_line(path, number, row, times))
    return lines


def _line(path: Path, number: int, row: dict[str, Any], times: Instants) -> RequestLine:
    where = f"{path}:{number}"
    _, time = _field(where, row, ("timestamp",))
    time_ns = None if isinstance(time, bool) else times.ns(str(time))
    if time_ns is None:
        raise UsageError(
            f"{where}: timestamp: takes a number or a date, as all lines do (given: {str(time)[:_SHOWN]!r})"
        )
    prompt, output = (_tokens(path, number, row, names) for names in (_PROMPT, _OUTPUT))
    return RequestLine(number, time_ns, Lengths(prompt, output, _block_ids(where, row)))


def _field(where: str, row: dict[str, Any], names: tuple[str, ...]) -> tuple[str, Any]:
    """Return the first of these fields that is there, by its name."""
    for name in names:
        if row.get(name) is not None:
            return name, row[name]
    raise UsageError(f"{where}: {names[0]} is missing")


def _tokens(path: Path, number: int, row: dict[str, Any], names: tuple[str, ...]) -> int:
    name, value = _field(f"{path}:{number}", row, names)
    return tokens_of("" if isinstance(value, bool) else str(value), (path, number, name))


def _block_ids(where: str, row: dict[str, Any]) -> tuple[int | str, ...]:
    ids = row.get("hash_ids")
    if ids is None:
        return ()
    if not isinstance(ids, list) or any(
        isinstance(block_id, bool) or not isinstance(block_id, int | str) for block_id in ids
    ):
        raise UsageError(f"{where}: hash_ids: takes a list of whole numbers (given: {str(ids)[:_SHOWN]!r})")
    return tuple(ids)
