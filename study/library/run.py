"""A finished run, or one that is under way, as pandas frames and figures; nothing is written into it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.keys import MeterKey
from analysis.metrics import metric
from starwatt_errors import UsageError
from study.library.figure import Figure, figure_of
from study.records.existing import existing
from traces.layout import RunDir

if TYPE_CHECKING:
    import pandas as pd

    from analysis.opened import OpenedRun


def open_run(path: Path | str) -> Run:
    """Open a run directory, of a study or of a metered load test.

    Raises:
        UsageError: there is none; the message names those that are there.
        TraceError: it has no cell.
    """
    return Run(existing(Path(path)))


class Run:
    """Read what was measured.

    Tables are read when they are first asked for, or made in memory where the run was not analysed. Each method raises
    ``TraceError`` where a file of the run cannot be read.
    """

    def __init__(self, run: RunDir) -> None:
        """Read nothing yet."""
        self._dir = run

    @property
    def path(self) -> Path:
        """Return the run directory."""
        return self._dir.root

    @cached_property
    def meters(self) -> tuple[MeterKey, ...]:
        """List the meters whose joules it has, as (boundary, source); first the one that is used unless said."""
        return self._opened.meters

    def summary(
        self, metrics: Sequence[str] | None = None, *, meter: tuple[str, str] | None = None
    ) -> pd.DataFrame:
        """Return a row a variant and load, the baseline first, blocks averaged; what ``tables/summary.csv`` holds.

        Columns: ``model``, ``variant``, ``load``, ``board``, ``blocks``, ``boundary``, ``source``; and for each metric,
        say ``j_per_request``: its value, ``j_per_request_lo`` and ``_hi`` (95 %), ``_interval`` (what that is of:
        blocks, measurement, tasks), ``_valid``, and ``_reasons`` (codes, joined by spaces: why blocks or
        interval are missing).

        Args:
            metrics: names of docs/reference/metrics.md; None: joules, rates, latencies and pass@1.
            meter: whose joules, one of ``meters``; None: the first.

        Raises:
            UsageError: there is no such metric or meter.
        """
        from analysis.summary import summary_table

        for name in metrics or ():
            _check_metric(name)
        key = None if meter is None else MeterKey(*meter)
        if key is not None and key not in self.meters:
            there = ", ".join(map(str, map(tuple, self.meters))) or "none"
            raise UsageError(f"meter {tuple(key)}: takes one of the run's meters: {there}")
        run = self._opened
        table = summary_table(run.cells, run.rows("accuracy"), run.context, key, metrics or None)
        return _frame(table.to_pandas())

    def cells(self) -> pd.DataFrame:
        """Return ``tables/cells``: a row a cell, meter and metric, invalid ones too (``valid``, ``reasons``)."""
        return self._table("cells")

    def contrasts(self) -> pd.DataFrame:
        """Return ``tables/contrasts``: a row a comparison, meter and metric, with its interval and reasons."""
        return self._table("contrasts")

    def requests(self) -> pd.DataFrame:
        """Return ``tables/requests``: a row a measured request, with its times, tokens, and joules by each rule."""
        return self._table("requests")

    def accuracy(self) -> pd.DataFrame:
        """Return ``tables/accuracy``: a row a variant, load and task."""
        return self._table("accuracy")

    def figure(self, name: str, *, model: str | None = None) -> Figure:
        """Draw the report's figure ``name``, such as ``joules``; raises ``UsageError`` where that is no single one."""
        return figure_of(self._opened, name, model)

    def __repr__(self) -> str:
        """Say which run it is."""
        return f"starwatt.open({str(self.path)!r})"

    @cached_property
    def _opened(self) -> OpenedRun:
        from analysis.opened import read_run

        return read_run(self._dir)

    def _table(self, name: str) -> pd.DataFrame:
        return _frame(self._opened.table(name).to_pandas())


def _frame(made: pd.DataFrame) -> pd.DataFrame:
    """Give pyarrow's conversion, which has no types, its type."""
    return made


def _check_metric(name: str) -> None:
    try:
        metric(name)
    except KeyError:
        raise UsageError(
            f"metric {name!r}: there is none of this name; docs/reference/metrics.md has all"
        ) from None
