"""The derived tables as they lie in a run: read strictly, since whatever they hold is shown."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.cells.tabulate import REQUESTS_TABLE
from starwatt_errors import TraceError
from traces.layout import RunDir
from traces.schemas import ACCURACY, CELLS, CONTRASTS, NEIGHBOURS, NODES

SCHEMAS = {
    "cells": CELLS,
    "requests": REQUESTS_TABLE,
    "contrasts": CONTRASTS,
    "accuracy": ACCURACY,
    "nodes": NODES,
    "neighbours": NEIGHBOURS,
}
"""By the names of the files."""
_NEVER_NULL = frozenset({
    "model", "variant", "load", "block", "blocks", "metric", "unit", "valid", "reasons", "contrast",
    "reference_variant", "reference_load", "request_id", "samples", "graded",
})  # fmt: skip
_OF_A_MACHINE = frozenset({"variant", "load"})  # null in the rows of ``nodes`` that are of no side


def read_table(run: RunDir, name: str) -> pa.Table:
    """A derived table.

    Raises:
        TraceError: it is not there (``starwatt analyze`` makes it), or is not what that writes.
    """
    path, schema = run.table(name), SCHEMAS[name]
    if not path.is_file():
        raise TraceError(f"{path}: is not there; starwatt analyze makes it")
    try:
        with path.open("rb") as file, pq.ParquetFile(file) as parquet:  # read_table opens it twice
            table = parquet.read()
    except (pa.ArrowException, OSError) as error:
        raise TraceError(f"{path}: does not read; starwatt analyze makes it again: {error}") from error
    if table.schema.names != schema.names or table.schema.types != schema.types:
        raise TraceError(f"{path}: has other columns than the table {name}; starwatt analyze makes it again")
    known = _NEVER_NULL - _OF_A_MACHINE if name == "nodes" else _NEVER_NULL
    holes = [column for column in schema.names if column in known and table[column].null_count]
    if holes:
        raise TraceError(f"{path}: has rows without {', '.join(holes)}; starwatt analyze makes it again")
    return table
