"""Read a log from its beginning to its end, after whoever wrote it has gone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from configs.files.text_files import encoding_of, read_packed
from configs.meters import ExternalLog
from server.power.logs.formats import format_of, recognised
from server.power.logs.reader import Line
from server.power.logs.several import are_of_several, of_several
from starwatt_errors import MeterError, UsageError

_FIRST_LINES = 8  # that show a log's form
_LAST_LINES = 20  # that show how a log's lines end
_BETWEEN = re.compile(r"\s*[,;|]\s*|\s+(?![A-Za-z%\[])")  # fields; a number and its unit are one
_MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class WholeLog:
    """Every reading of one device in a log, in its order."""

    form: str
    power_name: str | None
    """The column that power is from, where the log names its columns."""
    lines: tuple[Line, ...]


def read_whole(log: ExternalLog) -> WholeLog:
    """Read all of a log, unpacked where its name ends in .gz.

    Raises:
        MeterError: it cannot be read, a line is not understood, or has no time of its own, or several have one time.
    """
    texts = _whole_lines(log)
    first = [text for text in texts[:_FIRST_LINES] if text.strip()]
    reader, lines = format_of(log, first), []
    for number, text in enumerate(texts, 1):
        if (line := reader.line(text, number)) is None:
            continue
        if line.at_s is None:
            raise MeterError(
                f"{log.file}, line {number}: has no time: put one before each line (dcgmi dmon ... | ts '%FT%T%z'), or "
                "log it (nvidia-smi dmon -o DT)"
            )
        lines.append(line)
    if not lines:
        raise MeterError(f"{log.file}: has no reading{f' of {log.select}' if log.select else ''}")
    if not reader.tells_devices and are_of_several(lines):
        raise of_several(log)
    return WholeLog(recognised(log, first), getattr(reader, "power_name", None), tuple(lines))


def _whole_lines(log: ExternalLog) -> list[str]:
    """Read a log's lines; a last one without an end was cut off as its program was stopped, and is left out."""
    try:
        raw = read_packed(log.file, _MOST_BYTES)
    except UsageError as error:
        raise MeterError(str(error)) from error
    text = raw.decode(encoding_of(raw), errors="replace")
    if not text.strip():
        raise MeterError(f"{log.file}: is empty")
    texts = text.splitlines()
    return texts if len(texts) == 1 or text[-1] in "\r\n" or _ends_alike(texts) else texts[:-1]


def _ends_alike(texts: Sequence[str]) -> bool:
    """Say whether the last line ends as those before it do, so that nothing of it is missing.

    That can be said where their last fields have one form: a unit, a bracket, a fixed number of decimals or of digits.
    """
    forms = [form for text in texts[-_LAST_LINES:] if any(map(str.isdigit, (form := _form(text))[1]))]
    return len(forms) > 1 and len(set(forms)) == 1 and forms[-1] == _form(texts[-1])


def _form(text: str) -> tuple[int, str]:
    """Return how many fields a line has, and its last one with its digits as zeros, one before a decimal point."""
    *fields, last = _BETWEEN.split(text.strip())
    return len(fields), re.sub(r"0+(?=\.)", "0", re.sub(r"\d", "0", last))
