"""One cell's part of the tables."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from analysis.accuracy.completions import Answers, answers_of
from analysis.arrays import Ints, ints
from analysis.attribution.rules import RULES
from analysis.cells.cell import CellResult, analyse_cell, damaged_cell
from analysis.cells.cell_rows import cell_rows
from analysis.cells.context import Context
from analysis.cells.paper_total import paper_total_rows
from analysis.cells.phase_metrics import PhasePart, keep
from analysis.cells.rows import Row
from analysis.runs.identity import Identity, identity_of
from analysis.runs.stamps import Stamp, stamp_of, state_of
from analysis.validity.reasons import reasons_for
from configs.loads import is_probe
from starwatt_errors import TraceError
from traces.cell_files import CellFiles
from traces.layout import CellKey, RunDir, board_of
from traces.schemas import REQUESTS, REQUESTS_TABLE


@dataclass(frozen=True)
class InvalidCell:
    """A cell whose figures are kept out of the contrasts."""

    key: CellKey
    reasons: tuple[str, ...]
    problem: str | None  # what cannot be read, where that is why


@dataclass(frozen=True)
class Tabulated:
    """One cell's part of the tables; the traces that it was made from are let go."""

    key: CellKey
    rows: list[Row]
    requests: pa.Table
    order: Ints  # which of the cell's requests are in the table, in its order
    answers: Answers | None  # None: a probe, or nothing was measured
    phase: PhasePart | None
    invalid: InvalidCell | None
    node: str | None  # where it ran
    memorised: bool  # its model was fitted to the tasks
    damaged: bool  # its files are not to be believed
    identity: Identity | None = None  # None: nothing of it was read
    stamp: Stamp | None = None  # of its files; None: they may have changed meanwhile


def tabulate(result: CellResult, *, memorised: bool = False) -> Tabulated:
    """Tabulate all of a cell that does not need the others."""
    codes = _spoiled(result)
    table, order = _request_rows(result)
    rows = cell_rows(result)
    return Tabulated(
        key=result.key,
        rows=[*rows, *paper_total_rows(rows)],
        requests=table,
        order=order,
        answers=_answers(result),
        phase=keep(result, valid=not codes),
        invalid=InvalidCell(result.key, codes, result.problem) if codes else None,
        node=result.record.node.name if result.record and result.record.node else None,
        memorised=memorised,
        damaged="trace_damaged" in codes,
    )


def tabulated_cell(run: RunDir, key: CellKey, context: Context) -> Tabulated:
    """Read a finished cell and make its part of the tables."""
    folder = run.cell(key)
    state, stamp = state_of(folder), stamp_of(folder)
    files = CellFiles(folder, {} if stamp is None else {name: whole for name, _, whole, _ in stamp.files})
    identity = identity_of(files)
    try:
        memorised = files.record.served.memorised
    except TraceError:  # the cell is damaged
        memorised = False
    if identity.unreadable is not None:
        rows = tabulate(damaged_cell(key, identity.unreadable), memorised=memorised)
    else:
        try:
            rows = tabulate(analyse_cell(run, key, context, files), memorised=memorised)
        except TraceError as error:  # large traces are read again: one may have changed since
            rows = tabulate(damaged_cell(key, str(error)), memorised=memorised)
    stamp = stamp if state == state_of(folder) else None
    return replace(rows, identity=identity, stamp=stamp)


def _answers(result: CellResult) -> Answers | None:
    if result.measured is None or is_probe(result.key.load):
        return None
    return answers_of(result.key, result.measured.requests, result.measured.accuracy)


def _spoiled(result: CellResult) -> tuple[str, ...]:
    """Say why a cell's joules do not count: reasons of the cell, or of its primary boundary."""
    primary = result.primary
    energy = result.energy_codes(primary) if primary else result.energy_reasons
    return tuple(sorted({*reasons_for("energy", result.codes), *energy}))


def _request_rows(result: CellResult) -> tuple[pa.Table, Ints]:
    """Return the measured requests of a cell, in the order of their ids, and where these stand in its trace."""
    measured, key = result.measured, result.key
    if measured is None:
        return REQUESTS_TABLE.empty_table(), np.zeros(0, dtype=np.int64)
    requests, energy = measured.requests, result.primary
    rows, size = requests.measured, requests.count
    copied = [name for name in REQUESTS_TABLE.names if name in REQUESTS.names]
    told = requests.trace.read(copied)
    columns = {name: told.column(name).combine_chunks() for name in copied}
    constant = {
        "model": key.model,
        "variant": key.variant,
        "load": key.load,
        "board": board_of(key.load),
        "block": key.block,
        "boundary": energy.boundary if energy else None,
        "source": energy.source if energy else None,
        "valid": not _spoiled(result),
    }
    for name, value in constant.items():
        columns[name] = pa.repeat(pa.scalar(value, type=REQUESTS_TABLE.field(name).type), size)
    computed = {
        "tokens_in_window": measured.share.tokens,
        "share_in_window": measured.share.share,
        "ttft_ms": measured.latency.ttft_ms,
        "e2e_ms": measured.latency.e2e_ms,
        "tpot_ms": measured.latency.tpot_ms,
    }
    for rule in RULES:
        split = result.attributions.get(rule)
        computed[f"energy_{rule}_j"] = split.energy_j if split else np.full(size, np.nan)
    for name, values in computed.items():
        columns[name] = pa.array(values, from_pandas=True)  # NaN becomes null
    table = pa.table([columns[name] for name in REQUESTS_TABLE.names], schema=REQUESTS_TABLE)
    identities, _ = ints(told, "request_id")
    order = np.flatnonzero(rows)
    order = order[np.argsort(identities[order], kind="stable")]
    return table.take(pa.array(order)), order
