"""``attempts.jsonl`` of a run: every try at a cell that failed, one line each, in the order of failing.

It decides when a cell is given up, so it outlives the runner: each line is on the disk before the next try begins.
"""

from __future__ import annotations

import fcntl
import os
from datetime import UTC, datetime
from typing import IO, Self

from pydantic import ValidationError

from starwatt_errors import TraceError
from traces.atomic import written
from traces.layout import CellKey, RunDir
from traces.record import Record, wrong_field


class Attempt(Record):
    """One try that failed."""

    model: str
    variant: str
    load: str
    block: int
    at: str
    """Date and time of the failure, ISO 8601."""
    error: str
    cause: str | None = None
    """The failure's cause, without times and numbers; None where it is not known."""
    starting: bool = False
    """The engine did not come up, so that all cells of its start have failed."""
    final: bool = False
    """It is not tried again, however many tries it has left."""

    @classmethod
    def now(
        cls,
        key: CellKey,
        error: str,
        *,
        cause: str | None = None,
        starting: bool = False,
        final: bool = False,
    ) -> Self:
        """Make the record of a failure at this moment."""
        at = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(**vars(key), at=at, error=error, cause=cause, starting=starting, final=final)

    @property
    def key(self) -> CellKey:
        """Return the cell."""
        return CellKey(self.model, self.variant, self.load, self.block)


def note_attempt(run: RunDir, attempt: Attempt) -> None:
    """Add a line.

    Raises:
        TraceError: it cannot be written.
    """
    line = attempt.model_dump_json() + "\n"
    with written(run.attempts), run.attempts.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # several nodes may add to it at once
        _cut_torn_line(file)
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())


def _cut_torn_line(file: IO[bytes]) -> None:
    """Cut off what a kill or a full disk left of a line: the next one must not be glued to it."""
    file.seek(0)
    file.truncate(file.read().rfind(b"\n") + 1)


def read_attempts(run: RunDir) -> dict[CellKey, list[Attempt]]:
    """Return failed tries by cell, oldest first; a line that was torn by a kill is left out."""
    try:
        lines = run.attempts.read_bytes().splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        words = f"cannot be read: {error.strerror}; delete it, or restore it from a copy"
        raise TraceError(f"{run.attempts}: {words}") from error
    attempts: dict[CellKey, list[Attempt]] = {}
    for number, line in enumerate(lines, start=1):
        try:
            attempt = Attempt.model_validate_json(line)
        except ValidationError as error:
            if number == len(lines):
                break
            what = f"line {number} is no attempt ({wrong_field(error)})"
            raise TraceError(
                f"{run.attempts}: {what}; delete that line, or restore it from a copy"
            ) from error
        attempts.setdefault(attempt.key, []).append(attempt)
    return attempts
