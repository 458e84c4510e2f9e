"""The derived tables as they lie in a run: read strictly, since whatever they hold is shown."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from starwatt_errors import TraceError
from traces.layout import RunDir, is_there
from traces.parquet import checked, load_parquet
from traces.schemas import ACCURACY, CELLS, CONTRASTS, NEIGHBOURS, NODES, REQUESTS_TABLE

SCHEMAS = {
    "cells": CELLS,
    "requests": REQUESTS_TABLE,
    "contrasts": CONTRASTS,
    "accuracy": ACCURACY,
    "nodes": NODES,
    "neighbours": NEIGHBOURS,
}
"""By the names of the files."""
MEMORISED = "memorised"
"""In the metadata of ``tables/cells``: the models that were fitted to the tasks, a list in JSON."""
_NEVER_NULL = frozenset({
    "model", "variant", "load", "block", "blocks", "metric", "unit", "valid", "reasons", "contrast",
    "reference_variant", "reference_load", "request_id", "samples", "graded",
})  # fmt: skip
_LARGEST = 1e100  # a bound that says nothing may be large; no figure can be drawn of what is beyond
_WITH_ONE_END = ("allowed", "search")
"""Kinds of intervals: what a check allows, and a rate that never failed."""
_CROSSOVER = "crossover_concurrency"  # whose ends may lie beyond what was measured
_OF_A_MACHINE = frozenset({"variant", "load"})  # null in the rows of ``nodes`` that are of no side


def read_table(run: RunDir, name: str) -> pa.Table:
    """Read a derived table.

    Raises:
        TraceError: it is missing (``starwatt analyze`` makes it), or is not what that writes.
    """
    path, schema = run.table(name), SCHEMAS[name]
    if not is_there(path):
        raise TraceError(f"{path}: is missing; starwatt analyze makes it")
    try:
        table = load_parquet(path)
    except TraceError as error:
        remedy = (
            "remove it, and starwatt analyze" if path.is_dir() or path.is_symlink() else "starwatt analyze"
        )
        raise TraceError(f"{error}; {remedy} makes it again") from error
    if table.schema.names != schema.names or table.schema.types != schema.types:
        raise TraceError(f"{path}: has other columns than the table {name}; starwatt analyze makes it again")
    known = _NEVER_NULL - _OF_A_MACHINE if name == "nodes" else _NEVER_NULL
    holes = [column for column in schema.names if column in known and table[column].null_count]
    if holes:
        raise TraceError(f"{path}: has rows without {', '.join(holes)}; starwatt analyze makes it again")
    if (contradiction := next(_contradictions(table), None)) is not None:
        raise TraceError(f"{path}: {contradiction}; starwatt analyze makes it again")
    try:
        return checked(path, table, schema, largest=_LARGEST)
    except TraceError as error:
        raise TraceError(f"{error}; starwatt analyze makes it again") from error


def _has_half_an_interval(table: pa.Table) -> bool:
    """Say whether an end is missing that could be missing of no interval of this kind."""
    half = table.filter(pc.xor(table["lo"].is_null(), table["hi"].is_null()))
    may_be = pc.is_in(half["interval_kind"], pa.array(_WITH_ONE_END))
    return bool(pc.any(pc.and_not(pc.invert(may_be), pc.equal(half["metric"], _CROSSOVER))).as_py())


def _contradictions(table: pa.Table) -> Iterator[str]:
    """Yield what contradicts itself in rows that somebody rewrote."""
    names = set(table.schema.names)
    for column in (field.name for field in table.schema if pa.types.is_floating(field.type)):
        if pc.any(pc.invert(pc.is_finite(table[column]))).as_py():
            yield f"has numbers in {column} that are none (NaN, infinity)"
    if "boundary" in names and pc.any(pc.xor(table["boundary"].is_null(), table["source"].is_null())).as_py():
        yield "has rows with one of boundary and source, which come together"
    if {"metric", "value", "valid"} <= names:
        lost = pc.and_(table["valid"], table["value"].is_null())
        if pc.any(pc.and_not(lost, pc.starts_with(table["metric"], "check:"))).as_py():
            yield "has valid rows without value"
    if {"lo", "hi", "interval_kind"} <= names:
        if pc.any(pc.greater(table["lo"], table["hi"])).as_py():
            yield "has intervals that end before they begin"
        if _has_half_an_interval(table):
            yield "has rows with one end of an interval"
    if "graded" in names:
        uncounted = pc.or_(table["base_passed"].is_null(), table["plus_passed"].is_null())
        if pc.any(pc.and_(table["graded"], uncounted)).as_py():
            yield "has graded tasks without base_passed or plus_passed"
