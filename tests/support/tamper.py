"""Changes files of a run, as somebody may who has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """A Parquet file with something changed, its metadata kept."""
    pq.write_table(change(pq.read_table(path)), path)


def scaled(column: str, factor: float) -> Callable[[pa.Table], pa.Table]:
    """All values of a column times ``factor``."""
    return lambda table: table.set_column(
        table.schema.get_field_index(column), table.schema.field(column), pc.multiply(table[column], factor)
    )
