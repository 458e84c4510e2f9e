"""Runs of any number of cells: those of one simulated block again and again, at other times and other watts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.golden.engine import SECOND, Load
from tests.golden.world import World
from traces.cell import CellRecord, Phase, Phases, read_cell
from traces.layout import CellKey

LOADS = (
    Load("single-stream"),
    *(Load(f"closed-{number}", concurrency=number) for number in (2, 4, 8)),
    Load("open-4-poisson", qps=4.0),
)
TASKS = 8
_BETWEEN_NS = 10_000 * SECOND
_TRACES = ("requests", "power", "engine", "grades")


@dataclass(frozen=True)
class _Cell:
    """One cell of the simulated block."""

    record: CellRecord
    traces: dict[str, pa.Table]


def many_cells(root: Path, cells: int) -> World:
    """Write a run of at least so many cells: three variants under five loads, eight requests each."""
    each = World(root, loads=LOADS, tasks=TASKS)
    blocks = -(-cells // (len(each.variants) * len(LOADS)))
    first = World(root.with_name(f"{root.name}-block"), loads=LOADS, tasks=TASKS, blocks=1).build()
    every = World(root, loads=LOADS, tasks=TASKS, blocks=blocks)
    every.describe()
    known = {key: _read(first, key) for key in first.cell_keys()}
    for key in every.cell_keys():
        write_again(every, key, known[CellKey(key.model, key.variant, key.load, 1)])
    return every


def _read(world: World, key: CellKey) -> _Cell:
    folder = world.run.cell(key)
    return _Cell(read_cell(folder), {name: pq.read_table(folder / f"{name}.parquet") for name in _TRACES})


def write_again(world: World, key: CellKey, cell: _Cell) -> None:
    """Write a cell as one of another block: later, and with watts that differ by some per cent."""
    folder, later_ns = world.run.cell(key), key.block * _BETWEEN_NS
    folder.mkdir(parents=True, exist_ok=True)
    factor = 1 + random.Random(str(key)).gauss(0, 0.02)  # noqa: S311 - a simulation
    for name, table in cell.traces.items():
        pq.write_table(_changed(table, later_ns, factor), folder / f"{name}.parquet", compression="zstd")
    phases = {
        name: Phase(start_ns=phase.start_ns + later_ns, end_ns=phase.end_ns + later_ns)
        for name, phase in cell.record.phases
        if isinstance(phase, Phase)
    }
    record = cell.record.model_copy(update={"block": key.block, "phases": Phases(**phases)})
    (folder / "cell.json").write_text(record.model_dump_json(), encoding="utf-8")


def _changed(table: pa.Table, later_ns: int, factor: float) -> pa.Table:
    for at, field in enumerate(table.schema):
        column = table.column(at)
        if field.name in ("power_w", "energy_j"):
            table = table.set_column(at, field, pc.multiply(column, factor))
        elif field.name.endswith("_ns") and field.name != "read_ns":
            table = table.set_column(at, field, _later(column, later_ns))
    return table


def _later(column: pa.ChunkedArray, later_ns: int) -> pa.ChunkedArray:
    if not pa.types.is_list(column.type):
        return pc.add(column, later_ns)
    lists: Iterator[pa.ListArray] = iter(column.chunks)
    moved = [
        pa.ListArray.from_arrays(one.offsets, pc.add(one.values, later_ns), type=column.type) for one in lists
    ]
    return pa.chunked_array(moved, column.type)
