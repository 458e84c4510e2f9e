"""An analysed run, opened: each of its files is read once, when it is first asked for, and handed down from here."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any

import pyarrow as pa

from analysis.cells.columns import rows_of
from analysis.cells.context import Context, TaskSet, read_context
from analysis.cells.rows import Row
from analysis.keys import Condition, MeterKey
from analysis.points import meters_in, passed_in
from analysis.runs.inputs import KEY, inputs_of
from analysis.table_files import MEMORISED, SCHEMAS, read_table
from analysis.tables import OPTIONAL, analyze, compute
from starwatt_errors import TraceError
from traces.cell import CellRecord, read_cell
from traces.layout import CellKey, RunDir


def open_run(run: RunDir) -> OpenedRun:
    """Open a run; it is analysed first where its tables are missing, or were made from other files.

    Raises:
        TraceError: it has no cells.
    """
    opened = OpenedRun(run)
    if opened.is_analysed:
        return opened
    analyze(run)
    return OpenedRun(run)


def read_run(run: RunDir) -> OpenedRun:
    """Open a run and write nothing into it: tables that are missing, or were made from other files, are made in memory.

    Raises:
        TraceError: it has no cells.
    """
    opened = OpenedRun(run)
    return opened if opened.is_analysed else OpenedRun(run, compute(run).tables)


class OpenedRun:
    """Hold what a run's own files say; raises ``TraceError`` where a table is missing or cannot be read."""

    def __init__(self, run: RunDir, tables: Mapping[str, pa.Table] | None = None) -> None:
        """Read nothing yet; ``tables`` are all that it has, in place of those on disk."""
        self.dir = run
        self._in_memory = tables is not None
        self._tables: dict[str, pa.Table] = dict(tables or {})

    def table(self, name: str) -> pa.Table:
        """Return a derived table, by the name of its file."""
        if name not in self._tables:
            self._tables[name] = read_table(self.dir, name)
        return self._tables[name]

    def rows(self, name: str) -> list[Row]:
        """Return the rows of a table; none of one that only some runs have and this one has not."""
        if name in OPTIONAL and not self._has(name):
            return []
        return (
            rows_of(self.table(name))
            if "metric" in SCHEMAS[name].names
            else list(self.table(name).to_pylist())
        )

    def _has(self, name: str) -> bool:
        return name in self._tables if self._in_memory else self.dir.table(name).is_file()

    @property
    def is_analysed(self) -> bool:
        """Tell whether it has all its tables, made from its files as they are now."""
        try:
            for name in SCHEMAS:
                if name not in OPTIONAL or self.dir.table(name).is_file():
                    self.table(name)
        except TraceError:
            return False
        made_from = (self.table("cells").schema.metadata or {}).get(KEY.encode(), b"")
        return bool(made_from.decode(errors="replace") == inputs_of(self.dir))

    @cached_property
    def cells(self) -> list[Row]:
        """Read the rows of ``tables/cells``."""
        return self.rows("cells")

    def cells_of(self, metrics: Collection[str] | None) -> list[Row]:
        """Read the rows of ``tables/cells`` that are of these metrics; of None all."""
        return self.cells if metrics is None else rows_of(self.table("cells"), metrics)

    @cached_property
    def context(self) -> Context:
        """Read its study and manifest, as far as they are readable."""
        return read_context(self.dir)[0]

    @cached_property
    def records(self) -> Mapping[CellKey, CellRecord]:
        """Read every ``cell.json``; those that cannot be read are ``trace_damaged`` in ``tables/cells``."""
        records = {}
        for key in self.dir.finished_cells():
            try:
                records[key] = read_cell(self.dir.cell(key))
            except TraceError:
                continue
        return records

    @cached_property
    def meters(self) -> tuple[MeterKey, ...]:
        """List all meters that were recorded, first the one that is shown where there is room for one."""
        named = self.table("cells").group_by(["boundary", "source"]).aggregate([])
        return meters_in(named.to_pylist())

    @cached_property
    def passed(self) -> Mapping[Condition, Mapping[str, float]]:
        """Give the share of samples that passed base and plus by condition and graded task, all blocks together."""
        return passed_in(self.rows("accuracy"))

    @property
    def memorised(self) -> frozenset[str]:
        """Name the models that were fitted to the tasks they are graded on."""
        return frozenset(key.model for key, record in self.records.items() if record.served.memorised)

    @property
    def memorised_by_tables(self) -> frozenset[str]:
        """Name them without a look at any ``cell.json``, where the tables say it."""
        told = (self.table("cells").schema.metadata or {}).get(MEMORISED.encode())
        return self.memorised if told is None else frozenset(json.loads(told))

    @property
    def dataset(self) -> Mapping[str, Any]:
        """Return what the manifest says of the data set; empty where it says nothing."""
        dataset = self.context.manifest.get("dataset")
        return dataset if isinstance(dataset, dict) else {}

    @property
    def task_set(self) -> TaskSet:
        """Say which tasks it was asked."""
        return TaskSet.of(self.context)
