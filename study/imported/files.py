"""Find which tool wrote a file of requests, and read the loads in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starwatt_errors import UsageError
from study.imported.aiperf import aiperf_load, is_aiperf_line
from study.imported.guidellm import guidellm_loads, is_guidellm
from study.imported.plain_csv import csv_load
from study.imported.requests import ImportedLoad
from study.imported.shapes import parsed, read_text
from study.imported.vllm_bench import is_vllm_bench, vllm_load


def read_loads(path: Path, zone: str | None) -> list[ImportedLoad]:
    """Return every load in a file, in its order.

    Args:
        path: JSON or JSON Lines of a tool that is known, otherwise CSV.
        zone: of times that name none.

    Raises:
        UsageError: it cannot be read, was cut off, or is none of them.
    """
    text = read_text(path)
    if text.lstrip()[0] not in "{[":
        return [csv_load(text, path, zone)]
    objects = _objects(text, path)
    if all(is_vllm_bench(result) for result in objects):
        lines = len(objects) > 1
        return [
            vllm_load(result, f"{path}, line {number}" if lines else str(path))
            for number, result in enumerate(objects, 1)
        ]
    if all(is_aiperf_line(line) for line in objects):
        return [aiperf_load(objects, path)]
    if len(objects) == 1 and is_guidellm(objects[0]):
        return guidellm_loads(objects[0], str(path))
    raise UsageError(f"{path}: {_what_it_is(objects)}")


def _objects(text: str, path: Path) -> list[Any]:
    """Parse one object over all lines, or one a line."""
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].rstrip().endswith("}"):
        return [parsed(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]
    return [parsed(text, str(path))]


def _what_it_is(objects: list[Any]) -> str:
    first = objects[0]
    if isinstance(first, dict) and "aiperf_version" in first:
        return "holds aiperf's sums alone: give profile_export.jsonl, which lies beside it"
    return (
        "is no result of vllm bench serve, GuideLLM or aiperf (profile_export.jsonl) that is known here; the same "
        "requests as CSV can be read (start,first_token,end,prompt_tokens,output_tokens)"
    )
