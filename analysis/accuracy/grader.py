"""Which grader judged the answers of a cell: the version that stands in ``grades.parquet`` beside its verdicts."""

from __future__ import annotations

from collections.abc import Mapping

#: Part of every cache key: raised whenever a verdict could come out differently.
GRADER_VERSION = 7
GRADED_IN = "grader_version"
"""Of ``grades.parquet``'s metadata."""


def grader_of(metadata: Mapping[bytes, bytes] | None) -> int | None:
    """Return the version in a file's metadata; None where it names none, as grades of older starwatts do not."""
    said = (metadata or {}).get(GRADED_IN.encode(), b"").decode(errors="replace")
    return int(said) if said.isascii() and said.isdecimal() and len(said) < 10 else None


def is_older(version: int | None) -> bool:
    """Say whether answers were judged by an earlier grader than this one; of an unknown one nobody can tell."""
    return version is not None and version < GRADER_VERSION
