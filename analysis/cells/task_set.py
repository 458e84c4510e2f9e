"""Say which tasks a pass@1 is of: how many, of how many, of which data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from analysis.cells.context import Context


@dataclass(frozen=True)
class TaskSet:
    """Hold what a run was asked from; None is what it does not say."""

    name: str | None
    total: int | None

    @classmethod
    def of(cls, context: Context) -> TaskSet:
        """Read it from the manifest, whose name is that of the content; the study names what was asked for."""
        told = context.manifest.get("dataset") or {}
        name = told.get("name") or (Path(context.study.prompts.dataset).name if context.study else None)
        return cls(name, told.get("tasks"))

    def count(self, tasks: int) -> str:
        """Return ``24 of 164``; where it is not known of how many, ``24``."""
        return f"{tasks}" if self.total is None else f"{tasks} of {self.total}"

    def words(self, tasks: int) -> str:
        """Return ``24 of 164 tasks of humaneval+``."""
        count = self.count(tasks)
        return f"{count} task{'s' if count != '1' else ''}" + (f" of {self.name}" if self.name else "")
