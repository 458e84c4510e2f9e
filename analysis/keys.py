"""Name what a figure is of: a condition that was measured, and the meter that its joules are by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from traces.layout import CellKey


class Condition(NamedTuple):
    """A variant of a model under a load: a cell without its block."""

    model: str
    variant: str
    load: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Condition:
        """Name the condition that a row of a table is of."""
        return cls(row["model"], row["variant"], row["load"])

    def cell(self, block: int) -> CellKey:
        """Name its cell in a block."""
        return CellKey(*self, block)

    def __str__(self) -> str:
        return " · ".join(self)


class MeterKey(NamedTuple):
    """A boundary and the source of its readings; joules of two are never added."""

    boundary: str
    source: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> MeterKey | None:
        """Name the meter that a row of a table is by; None where its metric has no boundary."""
        return None if row["boundary"] is None else cls(row["boundary"], row["source"])

    @staticmethod
    def columns(meter: MeterKey | None) -> dict[str, str | None]:
        """Give the columns of a row that name it."""
        return {"boundary": meter and meter.boundary, "source": meter and meter.source}

    @property
    def modelled(self) -> bool:
        """Tell whether its joules are CPU time x watts, and were not measured."""
        return self.source == "modelled"
