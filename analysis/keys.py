"""What a figure is of: a condition that was measured, and the meter that its joules are by."""

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
        """Of a row of a table."""
        return cls(row["model"], row["variant"], row["load"])

    def cell(self, block: int) -> CellKey:
        """Its cell in a block."""
        return CellKey(*self, block)

    def __str__(self) -> str:
        return " · ".join(self)


class MeterKey(NamedTuple):
    """A boundary and the source of its readings; joules of two are never added."""

    boundary: str
    source: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> MeterKey | None:
        """Of a row of a table; None where its metric has no boundary."""
        return None if row["boundary"] is None else cls(row["boundary"], row["source"])

    @staticmethod
    def columns(meter: MeterKey | None) -> dict[str, str | None]:
        """As columns of a row."""
        return {"boundary": meter and meter.boundary, "source": meter and meter.source}

    @property
    def modelled(self) -> bool:
        """Whether its joules are CPU time x watts, and were not measured."""
        return self.source == "modelled"
