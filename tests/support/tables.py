"""Figures of ``tables/cells``, looked up."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.tables import read_table
from traces.layout import CellKey, RunDir


def metrics(table: pd.DataFrame, key: CellKey) -> Any:
    """Values of one cell by metric."""
    rows = table[(table.variant == key.variant) & (table.load == key.load) & (table.block == key.block)]
    return rows[~rows.metric.str.startswith("check:")].set_index("metric").value


def row(run: RunDir, load: str, metric: str) -> Any:
    """The one row of a small world's metric."""
    table = read_table(run, "cells").to_pandas()
    found = table[(table.load == load) & (table.metric == metric)]
    assert len(found) == 1
    return found.iloc[0]
