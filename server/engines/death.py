"""Say why an engine died: the first error in its log that is one, and what helps where the reason is known.

vLLM ends with "Engine core initialization failed. See root cause above": the cause stands some fifty lines higher, in
the words of a process of its own, and is followed by the errors that it led to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from server.engines.known_deaths import Known, known_by_signal, known_by_words

_PROCESS = re.compile(r"^(?:\([^()]*\bpid=\d+\) ?|\[rank\d+\]: ?)+")
_LEVEL = re.compile(r"^(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL):? [\d-]+ [\d:.,]+ \[[^\]]+\] ?")
_TORCH_TELLS = re.compile(r"^[IW]\d{4} [\d:.]+ +\d+ \S+\] ")
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_WARNS = re.compile(r"^\S+:\d+: \w*Warning: (?!CUDA initialization)")
_CHECKED = re.compile(r"^  (?=Value error, )")
_INPUT = " [type="
_FELL = re.compile(r"^(?:EngineCore (?:failed to start|encountered a fatal error)|WorkerProc )")
_ERROR = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception|SystemExit|Abort)(?:: .*)?$")
_LED_TO = re.compile(
    r"root cause|EngineDeadError|WorkerProc initialization failed|Engine process failed|CancelledError|"
    r"BrokenProcessPool|EngineCore (?:failed|died)"
)
_ENDS = re.compile(
    r"^(?:Traceback|Process |During handling|The above exception|EngineCore |WorkerProc |AsyncLLM | *For further|\s*$)"
)
_MORE_LINES = 2
_LONGEST = 400


@dataclass(frozen=True)
class Death:
    """Hold what an engine died of."""

    error: str
    """Its own words, a few lines."""
    remedy: str | None
    """The remedy; None where the reason is not known here."""

    def __str__(self) -> str:
        shown = self.error.replace("\n", "\n  ")
        return shown if self.remedy is None else f"{shown}\n  What helps: {self.remedy}"


def why_it_died(log: Path) -> Death | None:
    """Return the first error of a known reason, else the first that no other led to; None where the log has none.

    Of those that are not known, errors from where a core or a worker says that it fell go before earlier ones, which it
    outlived.
    """
    try:
        lines = _said(log.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    fell = next((number for number, line in enumerate(lines) if _FELL.match(line)), 0)
    return (
        _first_known(lines, known_by_words)
        or _first_known(lines, known_by_signal)
        or _first_unknown(lines, fell)
        or _first_unknown(lines, 0)
    )


def _first_known(lines: Sequence[str], known_by: Callable[[str], Known | None]) -> Death | None:
    for number, line in enumerate(lines):
        known = None if line.startswith((" ", "^")) else known_by(line)
        if known is not None:
            return Death(_with_more([known.words, *lines[number + 1 :]]), known.remedy)
    return None


def _first_unknown(lines: Sequence[str], begin: int) -> Death | None:
    for number, line in enumerate(lines[begin:], begin):
        if _ERROR.match(line) and not _LED_TO.search(line):
            return Death(_with_more(lines[number:]), None)
    return None


def _said(text: str) -> list[str]:
    """Return the lines that tell of no ordinary course, without process, level, time and source file."""
    said = []
    for whole in _COLOUR.sub("", text).splitlines():
        line = _PROCESS.sub("", whole)
        level = _LEVEL.match(line)
        if _TORCH_TELLS.match(line) or (level and level["level"] in ("DEBUG", "INFO", "WARNING")):
            continue
        line = line[level.end() :] if level else line
        if not _WARNS.match(line):
            said.append(_CHECKED.sub("", line).partition(_INPUT)[0].rstrip())
    return said


def _with_more(lines: Sequence[str]) -> str:
    """Return the first line and the few that go on with it."""
    kept = [lines[0][:_LONGEST]]
    for line in lines[1 : 1 + _MORE_LINES]:
        if _ENDS.match(line) or _ERROR.match(line) or line in kept:
            break
        kept.append(line[:_LONGEST])
    return "\n".join(kept)
