"""The rows of the rule ``phase``, and its joules of every request, for all cells of a run at once."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from analysis.arrays import Bools, Floats, Ints
from analysis.attribution.phase import PhaseRows
from analysis.cells.columns import reason_lists
from analysis.cells.parts import Parts
from analysis.cells.phase_metrics import (
    METRICS,
    FitRow,
    PhaseCells,
    PhaseFigures,
    fit_variants,
    phase_figures,
)
from analysis.metrics import metric
from traces.schemas import CELLS


def phase_of(parts: Parts) -> tuple[pa.Table, Ints, Floats]:
    """Fit the rule to a run and apply it.

    Returns:
        Rows of ``tables/cells``; of which cell each is; and joules of the requests of ``tables/requests`` (r,), NaN
        where the rule does not apply.
    """
    seen = parts.listed("measured").known
    columns = (
        parts.keys,
        _stretches(parts),
        parts.column("counts"),
        parts.column("speculates"),
        seen.tolist(),
    )
    fits = fit_variants(FitRow(*of) for *of, measured in zip(*columns, strict=True) if measured)
    metered = np.array([boundary is not None for boundary in parts.column("boundary")], dtype=np.bool_)
    cells, places = _cells(parts, np.flatnonzero(seen & metered))
    figures = phase_figures(cells, fits)
    table, of_cell = _table(parts, np.flatnonzero(seen & metered), figures)
    order, listed = parts.numbers("order")
    of = listed.of_cell
    joules = np.full(order.size, np.nan)
    first = np.full(len(parts.keys), -1, dtype=np.int64)
    first[places] = cells.starts[:-1][cells.known]
    has = first[of] >= 0
    joules[has] = figures.request_j[first[of[has]] + order[has]]
    return table, of_cell, joules


def _stretches(parts: Parts) -> list[PhaseRows | None]:
    """Return what the fit takes of each cell; None of those that have no joules or no tokens."""
    work, listed = parts.numbers("stretches")
    busy_j, busy = parts.numbers("busy_j")
    work = work.reshape(-1, 4)
    starts, known = busy.starts.tolist(), listed.known.tolist()
    return [
        PhaseRows(key.load, work[starts[at] : starts[at + 1]], busy_j[starts[at] : starts[at + 1]])
        if known[at]
        else None
        for at, key in enumerate(parts.keys)
    ]


def _cells(parts: Parts, chosen: Ints) -> tuple[PhaseCells, Ints]:
    """Take the chosen cells out of all; and of those that have work, their places among all."""
    work, listed = parts.numbers("work")
    flags, flagged = parts.numbers("measured")
    known = listed.known[chosen]
    sizes = np.where(known, np.diff(listed.starts)[chosen] // 4, 0)
    is_chosen = np.zeros(len(parts.keys), dtype=np.bool_)
    is_chosen[chosen[known]] = True
    against = parts.column("against")
    outside_work = np.full((chosen.size, 4), np.nan)
    part, of_part = parts.numbers("outside_work")
    outside_work[of_part.known[chosen]] = part.reshape(-1, 4)[_is_in(of_part.known, chosen)]
    cells = PhaseCells(
        keys=[parts.keys[at] for at in chosen],
        against=[tuple(against[at]) for at in chosen],
        known=known,
        work=work.reshape(-1, 4)[is_chosen[listed.of_cell[::4]]],
        starts=np.concatenate(([0], np.cumsum(sizes))),
        measured=flags[is_chosen[flagged.of_cell]],
        outside_work=outside_work,
        outside_known=_floats(parts, "outside_known")[chosen],
        total_j=_floats(parts, "total_j")[chosen],
        idle_j=_floats(parts, "idle_j")[chosen],
    )
    return cells, chosen[known]


def _is_in(known: Bools, chosen: Ints) -> Bools:
    """Say which of the lists that are known are of chosen cells."""
    mask = np.zeros(known.size, dtype=np.bool_)
    mask[chosen] = True
    return np.asarray(mask[known], dtype=np.bool_)


def _floats(parts: Parts, name: str) -> Floats:
    return np.asarray(parts.table[name].to_numpy(), dtype=np.float64)


def _table(parts: Parts, chosen: Ints, figures: PhaseFigures) -> tuple[pa.Table, Ints]:
    """Put figures into rows: cell by cell, and metric by metric within each."""
    shown = figures.shown.ravel()
    metrics = np.tile(np.arange(len(METRICS)), chosen.size)[shown]
    of_cell = np.repeat(chosen, len(METRICS))[shown]
    values = figures.values.ravel()[shown]
    missing = ~np.isfinite(values)
    told = [codes for each in figures.reasons for codes in each]
    against = [
        tuple(sorted(set(codes))) or (("not_available",) if none else ())
        for codes, show, none in zip(
            told, shown.tolist(), (~np.isfinite(figures.values.ravel())).tolist(), strict=True
        )
        if show
    ]
    place = pa.array(of_cell)
    columns = parts.of_the_key(of_cell)
    columns |= {name: parts.table[name].combine_chunks().take(place) for name in ("boundary", "source")}
    rows = metrics.size
    columns["metric"] = pa.array(METRICS).take(pa.array(metrics))
    columns["unit"] = pa.array([metric(name).unit for name in METRICS]).take(pa.array(metrics))
    columns["value"] = pa.array(values, mask=missing)
    columns["valid"] = pa.array([not codes for codes in against], pa.bool_())
    columns["reasons"] = reason_lists(against)
    columns |= {name: pa.nulls(rows, CELLS.field(name).type) for name in ("lo", "hi", "interval_kind")}
    return pa.table([columns[name] for name in CELLS.names], schema=CELLS), of_cell
