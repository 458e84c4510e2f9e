"""Gather what is wrong with a study before it starts: every finding in one message, with its place in the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from configs.loader import refused
from starwatt_errors import StarwattError, UsageError

Field = tuple[str | int, ...]
"""The way to a field of the study file, such as ``("cpus", "engine")``."""


_NAMED = re.compile(r"(?P<field>[a-z_]+(?:\.[\w-]+)*): ")


@dataclass(frozen=True)
class StudyProblem:
    """One thing that cannot work."""

    field: Field
    words: str
    kind: type[StarwattError] = UsageError
    """UsageError: the file is wrong; another: this machine, or one that it asks, lacks something."""

    def line(self, file: Path) -> str:
        """Write file, line and field, then the words."""
        return str(refused(file, self.field, self.words))


def found_by(field: Field, check: Callable[[], object]) -> Iterator[StudyProblem]:
    """Yield what ``check`` raises, as a problem of ``field``, or of a field within it that its words begin with."""
    try:
        check()
    except StarwattError as error:
        yield problem_of(field, error)


def problem_of(field: Field, error: StarwattError) -> StudyProblem:
    """Return an error as a problem of ``field``, or of a field within it that its words begin with."""
    named = _NAMED.match(str(error))
    parts: Field = tuple(named["field"].split(".")) if named else ()
    if named is None or parts[:1] != field[:1]:
        return StudyProblem(field, str(error), type(error))
    return StudyProblem(parts if len(parts) > len(field) else field, str(error)[named.end() :], type(error))


def refuse(file: Path, problems: Iterable[StudyProblem]) -> None:
    """Raise all of them as one error; nothing where there are none.

    Raises:
        UsageError: the file is wrong.
        StarwattError: of the first problem's kind, where the file is not, but something it needs is missing.
    """
    ordered = sorted(problems, key=lambda problem: problem.kind is not UsageError)
    if ordered:
        raise ordered[0].kind("\n".join(dict.fromkeys(problem.line(file) for problem in ordered)))
