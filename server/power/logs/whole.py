"""Read a log from its beginning to its end, after whoever wrote it has gone."""

from __future__ import annotations

from dataclasses import dataclass

from configs.meters import ExternalLog
from server.power.logs.formats import format_of, recognised
from server.power.logs.reader import Line
from starwatt_errors import MeterError

_FIRST_LINES = 8  # that show a log's form


@dataclass(frozen=True)
class WholeLog:
    """Every reading of one device in a log, in its order."""

    form: str
    power_name: str | None
    """The column that power is from, where the log names its columns."""
    lines: tuple[Line, ...]


def read_whole(log: ExternalLog) -> WholeLog:
    """Read all of a log.

    Raises:
        MeterError: it cannot be read, a line is not understood, or has no time of its own.
    """
    try:
        text = log.file.read_bytes().decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise MeterError(f"{log.file}: cannot be read: {error.strerror}") from error
    texts = text.splitlines()
    if not text.strip():
        raise MeterError(f"{log.file}: is empty")
    first = [text for text in texts[:_FIRST_LINES] if text.strip()]
    reader, lines = format_of(log, first), []
    for number, text in enumerate(texts, 1):
        if (line := reader.line(text, number)) is None:
            continue
        if line.at_s is None:
            raise MeterError(
                f"{log.file}, line {number}: has no time: put one before each line (dcgmi dmon ... | ts '%FT%T%z')"
            )
        lines.append(line)
    if not lines:
        raise MeterError(f"{log.file}: has no reading{f' of {log.select}' if log.select else ''}")
    return WholeLog(recognised(log, first), getattr(reader, "power_name", None), tuple(lines))
