"""What is made of each cell alone, a row a cell: in Arrow, as processes hand it over and as a run keeps it.

A study of ten thousand cells has a million figures. They stay in columns: as Python's dictionaries they would take
more than half a gigabyte.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from analysis.accuracy.completions import Answers
from analysis.accuracy.verdicts import Accuracy
from analysis.arrays import Ints
from analysis.cells.phase_metrics import PhasePart
from analysis.cells.tabulate import InvalidCell, Tabulated
from analysis.runs.identity import Identity
from analysis.runs.stamps import Stamp
from traces.layout import CellKey, board_of
from traces.schemas import CELLS, REQUESTS_TABLE

KEY = ("model", "variant", "load", "block")
_OF_THE_KEY = frozenset({*KEY, "board"})
"""Columns of tables that a cell's key says, so that they are not kept row by row."""
_TEXT, _FLOAT, _INT = pa.string(), pa.float64(), pa.int64()


def _without_key(schema: pa.Schema) -> pa.StructType:
    return pa.struct([field for field in schema if field.name not in _OF_THE_KEY])


def _of(**fields: pa.DataType) -> pa.ListType:
    return pa.list_(pa.struct(list(fields.items())))


_LISTED = {"rows": CELLS, "requests": REQUESTS_TABLE}
PARTS = pa.schema(
    [
        *(CELLS.field(name) for name in KEY),
        ("rows", pa.list_(_without_key(CELLS))),
        ("requests", pa.list_(_without_key(REQUESTS_TABLE))),
        ("order", pa.list_(_INT)),
        ("tasks", _of(task=_TEXT, samples=_INT, base=_INT, plus=_INT)),
        ("ungraded", _TEXT),
        ("answers", _of(task=_TEXT, sample=pa.int32(), print=pa.uint64())),
        ("boundary", _TEXT),
        ("source", _TEXT),
        ("against", pa.list_(_TEXT)),
        ("counts", pa.bool_()),
        ("speculates", pa.bool_()),
        ("measured", pa.list_(pa.bool_())),
        ("work", pa.list_(_FLOAT)),
        ("stretches", pa.list_(_FLOAT)),
        ("busy_j", pa.list_(_FLOAT)),
        ("outside_work", pa.list_(_FLOAT)),
        ("outside_known", _FLOAT),
        ("total_j", _FLOAT),
        ("idle_j", _FLOAT),
        ("invalid", pa.list_(_TEXT)),
        ("problem", _TEXT),
        ("node", _TEXT),
        ("memorised", pa.bool_()),
        ("damaged", pa.bool_()),
        ("run_id", _TEXT),
        ("boot_id", _TEXT),
        ("unreadable", _TEXT),
        ("wrong_traces", _TEXT),
        ("prints", _of(trace=_TEXT, print=_TEXT)),
        ("content", _TEXT),
        ("state", _TEXT),
        ("files", _of(name=_TEXT, size=_INT, tail=_TEXT)),
    ]
)
"""Columns: ``rows`` and ``requests`` are the cell's part of the tables of that name; ``tasks``, ``ungraded`` and
``answers`` its ``Answers``; from ``boundary`` to ``idle_j`` its ``PhasePart``; from ``run_id`` to ``prints`` its
``Identity``; from ``content`` on its ``Stamp``."""


def parts_of(cells: Sequence[Tabulated]) -> pa.Table:
    """Put cells into columns (``PARTS``), in their order."""
    columns: dict[str, Any] = {name: [getattr(cell.key, name) for cell in cells] for name in KEY}
    columns |= _figures(cells)
    columns["order"] = _numbers([cell.order for cell in cells])
    columns |= _answers([cell.answers for cell in cells])
    columns |= _phase([cell.phase for cell in cells])
    invalid = [cell.invalid for cell in cells]
    columns |= {"invalid": _each(invalid, "reasons"), "problem": _each(invalid, "problem")}
    columns |= {name: [getattr(cell, name) for cell in cells] for name in ("node", "memorised", "damaged")}
    columns |= _identities([cell.identity for cell in cells])
    columns |= _stamps([cell.stamp for cell in cells])
    arrays = [
        column if isinstance(column := columns[field.name], pa.Array) else pa.array(column, field.type)
        for field in PARTS
    ]
    return pa.Table.from_arrays(arrays, schema=PARTS)


def _figures(cells: Sequence[Tabulated]) -> dict[str, Any]:
    """Their part of the tables ``cells`` and ``requests``."""
    rows = [row for cell in cells for row in cell.rows]
    of_rows, of_requests = (PARTS.field(name).type for name in ("rows", "requests"))
    figures = [pa.array([row[field.name] for row in rows], field.type) for field in of_rows.value_type]
    table = pa.concat_tables([cell.requests for cell in cells])
    requests = [_whole(table[field.name]) for field in of_requests.value_type]
    return {
        "rows": _lists(figures, of_rows, [len(cell.rows) for cell in cells]),
        "requests": _lists(requests, of_requests, [cell.requests.num_rows for cell in cells]),
    }


def _answers(parts: Sequence[Answers | None]) -> dict[str, Any]:
    def tasks(judged: Accuracy) -> list[dict[str, Any]]:
        counts = (judged.samples.tolist(), judged.base_passed.tolist(), judged.plus_passed.tolist())
        columns = zip(judged.task_id, *counts, strict=True)
        return [{"task": task, "samples": n, "base": base, "plus": plus} for task, n, base, plus in columns]

    def prints(part: Answers) -> list[dict[str, Any]]:
        return [{"task": task, "sample": n, "print": mark} for (task, n), mark in part.prints.items()]

    return {
        "tasks": [None if part is None else tasks(part.accuracy) for part in parts],
        "answers": [None if part is None else prints(part) for part in parts],
        "ungraded": [None if part is None else part.accuracy.reason for part in parts],
    }


def _each(parts: Sequence[Any], name: str) -> list[Any]:
    """Return an attribute of each; None of those that are missing."""
    return [None if part is None else getattr(part, name) for part in parts]


def _phase(phases: Sequence[PhasePart | None]) -> dict[str, Any]:
    meters, inputs = _each(phases, "meter"), _each(phases, "input")
    works = _each(inputs, "work")
    return {
        **{name: _each(meters, name) for name in ("boundary", "source")},
        **{name: _each(phases, name) for name in ("against", "counts", "speculates", "outside_known")},
        "measured": _numbers(_each(phases, "measured")),
        "work": _numbers(_each(works, "requests")),
        "stretches": _numbers(_each(works, "stretches")),
        "busy_j": _numbers(_each(inputs, "busy_j")),
        "outside_work": _numbers(_each(works, "part")),
        **{name: _each(inputs, name) for name in ("total_j", "idle_j")},
    }


def _identities(identities: Sequence[Identity | None]) -> dict[str, Any]:
    known = [identity or Identity() for identity in identities]
    return {
        **{name: _each(known, name) for name in ("run_id", "boot_id", "unreadable")},
        "wrong_traces": _each(known, "problem"),
        "prints": [
            [{"trace": trace, "print": mark} for trace, mark in identity.prints] for identity in known
        ],
    }


def _stamps(stamps: Sequence[Stamp | None]) -> dict[str, Any]:
    return {
        **{name: _each(stamps, name) for name in ("content", "state")},
        "files": [
            None
            if stamp is None
            else [{"name": name, "size": n, "tail": end} for name, n, _, end in stamp.files]
            for stamp in stamps
        ],
    }


def _whole(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    return pa.concat_arrays(combined.chunks) if isinstance(combined, pa.ChunkedArray) else combined


def _lists(listed: Sequence[pa.Array], kind: pa.ListType, lengths: Sequence[int]) -> pa.Array:
    fields = list(kind.value_type)
    offsets = pa.array(np.concatenate(([0], np.cumsum(lengths))), pa.int32())
    return pa.ListArray.from_arrays(
        offsets, pa.StructArray.from_arrays(list(listed), fields=fields), type=kind
    )


def _numbers(arrays: Sequence[npt.NDArray[Any] | None]) -> pa.Array:
    """Lists of numbers; null where there are none."""
    known = [array.ravel() for array in arrays if array is not None]
    values = pa.array(np.concatenate(known)) if known else pa.array([], pa.float64())
    lengths = [0 if array is None else array.size for array in arrays]
    offsets = pa.array(np.concatenate(([0], np.cumsum(lengths))), pa.int32())
    missing = pa.array([array is None for array in arrays], pa.bool_())
    return pa.ListArray.from_arrays(offsets, values, mask=missing)


@dataclass(frozen=True)
class Listed:
    """A column of lists: all their values, one list after the other."""

    values: pa.Array  # (m,)
    starts: Ints  # (n + 1,) where each cell's begin
    known: npt.NDArray[np.bool_]  # (n,) false where it is null

    @property
    def of_cell(self) -> Ints:
        """Say of which cell each value is, (m,)."""
        return np.repeat(np.arange(self.known.size), np.diff(self.starts))


class Parts:
    """Cells in columns (``PARTS``), one after the other."""

    def __init__(self, table: pa.Table) -> None:
        """``table``: in the order in which the cells are to be shown."""
        self.table = table.combine_chunks()
        self.keys = [CellKey(*key) for key in zip(*(table[name].to_pylist() for name in KEY), strict=True)]

    def column(self, name: str) -> list[Any]:
        """Return a value a cell."""
        return list(self.table[name].to_pylist())

    def listed(self, name: str) -> Listed:
        """Return a column of lists."""
        lists = _whole(self.table[name])
        lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
        starts = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
        return Listed(lists.flatten(), starts, lists.is_valid().to_numpy(zero_copy_only=False))

    def numbers(self, name: str) -> tuple[npt.NDArray[Any], Listed]:
        """Return a column of lists of numbers that are never null, as NumPy's too."""
        listed = self.listed(name)
        return listed.values.to_numpy(zero_copy_only=False), listed

    def rows(self, name: str) -> tuple[pa.Table, Ints]:
        """Return all cells' part of a table, and of which cell each row is."""
        listed, schema = self.listed(name), _LISTED[name]
        of_cell = listed.of_cell
        named = dict(zip((field.name for field in listed.values.type), listed.values.flatten(), strict=True))
        named |= self.of_the_key(of_cell)
        return pa.table([named[name] for name in schema.names], schema=schema), of_cell

    def of_the_key(self, of_cell: Ints) -> dict[str, pa.Array]:
        """Return the columns that say what a row is of: model, variant, load, the boards' setting, and block.

        ``of_cell``: of which cell each row is, (rows,).
        """
        place = pa.array(of_cell)
        columns = {name: _whole(self.table[name]).take(place) for name in KEY}
        boards = pa.array([board_of(key.load) for key in self.keys], CELLS.field("board").type)
        return {**columns, "board": boards.take(place)}

    def answers(self) -> list[Answers]:
        """Rebuild what was answered, of the cells that have it."""
        tasks, prints = (self._lists_of(name) for name in ("tasks", "answers"))
        cells = zip(self.keys, tasks, prints, self.column("ungraded"), strict=True)
        return [
            Answers(
                key, _accuracy(judged, reason), {(task, sample): mark for task, sample, mark in said or ()}
            )
            for key, judged, said, reason in cells
            if judged is not None
        ]

    def identities(self) -> dict[CellKey, Identity]:
        """Rebuild what each cell says of where it belongs."""
        columns = (self.column(name) for name in ("unreadable", "run_id", "boot_id", "wrong_traces"))
        prints = self._lists_of("prints")
        return {
            key: Identity(unreadable, run_id, boot_id, problem, tuple(files or ()))
            for key, unreadable, run_id, boot_id, problem, files in zip(
                self.keys, *columns, prints, strict=True
            )
        }

    def invalid(self) -> list[InvalidCell | None]:
        """Rebuild which cells are not to be believed; None of those that are."""
        cells = zip(self.keys, self.column("invalid"), self.column("problem"), strict=True)
        return [None if codes is None else InvalidCell(key, tuple(codes), why) for key, codes, why in cells]

    def tails(self) -> dict[str, tuple[int, str]]:
        """Give size and digest of the last 64 KiB of the cells' files, by their path from the run's folder."""
        tails = {}
        for key, files in zip(self.keys, self._lists_of("files"), strict=True):
            place = f"cells/{key.model}/{key.variant}/{key.load}/b{key.block}/"
            tails.update({place + name: (size, tail) for name, size, tail in files or ()})
        return tails

    def _lists_of(self, name: str) -> Iterable[list[tuple[Any, ...]] | None]:
        listed = self.listed(name)
        values = list(zip(*(column.to_pylist() for column in listed.values.flatten()), strict=True))
        starts = listed.starts.tolist()
        for at, known in enumerate(listed.known.tolist()):
            yield values[starts[at] : starts[at + 1]] if known else None


def _accuracy(judged: Sequence[tuple[Any, ...]], reason: str | None) -> Accuracy:
    tasks, *counts = zip(*judged, strict=True) if judged else ((), (), (), ())
    samples, base, plus = (np.array(column, dtype=np.int64) for column in counts)
    return Accuracy(tuple(tasks), samples, base, plus, reason)
