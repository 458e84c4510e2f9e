"""The array types of analysis, and how nullable Arrow columns become NumPy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int32]  # of things of which there are at most as many as requests
Bools = npt.NDArray[np.bool_]


def ints(table: pa.Table, name: str) -> tuple[Ints, Bools]:
    """Return column ``name`` as int64 of shape (n,), nulls as 0, and a mask that is true where it is not null.

    Nanoseconds stay integers: float64 would round them after 104 days of uptime.
    """
    column = table.column(name).combine_chunks()
    present = pc.is_valid(column).to_numpy(zero_copy_only=False)
    values = pc.fill_null(pc.cast(column, pa.int64()), 0).to_numpy(zero_copy_only=False)
    return values, present


def floats(table: pa.Table, name: str) -> Floats:
    """Return column ``name`` as float64 of shape (n,), nulls as NaN."""
    column = pc.cast(table.column(name).combine_chunks(), pa.float64())
    return np.asarray(pc.fill_null(column, np.nan).to_numpy(zero_copy_only=False), dtype=np.float64)


def equals(table: pa.Table, name: str, value: str) -> Bools:
    """Say in which rows the string column ``name`` is ``value``; false where it is null."""
    matches = pc.fill_null(pc.equal(table.column(name).combine_chunks(), value), False)
    return np.asarray(matches.to_numpy(zero_copy_only=False), dtype=np.bool_)


def percentile(values: Floats, q: float) -> float | None:
    """Return the ``q``-th percentile (linear interpolation), or None of nothing."""
    return float(np.percentile(values, q)) if values.size else None


def percentiles(values: Floats, qs: Sequence[int]) -> dict[int, float | None]:
    """Compute several percentiles at once, as ``percentile`` gives each."""
    quantiles = np.percentile(values, qs).tolist() if values.size else [None] * len(qs)
    return dict(zip(qs, quantiles, strict=True))


def mean(values: Floats) -> float | None:
    """Return the mean, or None of nothing."""
    return float(values.mean()) if values.size else None


def spread(values: Floats) -> dict[str, float | None]:
    """Compute mean, median, and 90th and 99th percentiles of what is known; None of nothing."""
    known = values[np.isfinite(values)]
    quantiles = percentiles(known, (50, 90, 99))
    return {"mean": mean(known), **{f"p{q}": value for q, value in quantiles.items()}}
