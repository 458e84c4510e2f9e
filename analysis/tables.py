"""``starwatt analyze``: the raw files of a run become its four tables, the same ones every time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.accuracy import Accuracy, accuracy_table
from analysis.arrays import Ints, ints
from analysis.attribution import RULES
from analysis.cell import CellResult, analyse_cell, read_context
from analysis.contrasts import contrast_rows
from analysis.metrics import Row, cell_rows
from analysis.phase_tables import PhaseCell, fit_variants, keep, phase_of
from analysis.validity import reasons_for
from configs.schema import is_probe
from starwatt_errors import TraceError
from traces.atomic import write_parquet
from traces.layout import CellKey, RunDir, model_slug
from traces.schemas import CELLS, CONTRASTS, SCHEMA_VERSION

REQUESTS_TABLE = pa.schema(
    [
        ("model", pa.string()),
        ("variant", pa.string()),
        ("load", pa.string()),
        ("block", pa.int32()),
        ("request_id", pa.int64()),
        ("task_id", pa.string()),
        ("sample", pa.int32()),
        ("role", pa.string()),
        ("status", pa.string()),
        ("finish_reason", pa.string()),
        ("scheduled_ns", pa.int64()),
        ("sent_ns", pa.int64()),
        ("first_token_ns", pa.int64()),
        ("end_ns", pa.int64()),
        ("prompt_tokens", pa.int32()),
        ("output_tokens", pa.int32()),
        ("tokens_in_window", pa.float64()),
        ("share_in_window", pa.float64()),
        ("ttft_ms", pa.float64()),
        ("e2e_ms", pa.float64()),
        ("tpot_ms", pa.float64()),
        ("boundary", pa.string()),
        ("source", pa.string()),
        *((f"energy_{rule}_j", pa.float64()) for rule in RULES),
        ("valid", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class InvalidCell:
    """A cell whose figures are kept out of the contrasts."""

    key: CellKey
    reasons: tuple[str, ...]
    problem: str | None  # what does not read, where that is why


@dataclass(frozen=True)
class AnalysisSummary:
    """What ``analyze`` did."""

    cells: int
    measured: int  # cells with a window
    invalid: tuple[InvalidCell, ...]
    requests: int  # measured requests tabulated
    contrasts: int
    warnings: tuple[str, ...]


def analyze(run: RunDir, progress: Callable[[int, int], None] | None = None) -> AnalysisSummary:
    """Recompute ``tables/{cells,requests,contrasts,accuracy}.parquet`` from the raw files of ``run``.

    The same files give the same tables, byte for byte. A damaged or unfinished cell is a row that says so.

    Args:
        run: the run directory; ``study.yaml`` and ``plan.parquet`` may be missing (one measured endpoint).
        progress: called with (cells done, cells in all) after each cell.

    Raises:
        TraceError: there is not a single cell, planned or finished.
    """
    context, study_warning = read_context(run)
    keys, plan_warning = _all_cells(run)
    if not keys:
        raise TraceError(f"{run.root}: no cells here: neither plan.parquet nor cells/ names any")
    cells: list[_Tabulated] = []
    for done, key in enumerate(keys, 1):
        cells.append(_tabulate(analyse_cell(run, key, context)))
        if progress is not None:
            progress(done, len(keys))
    rows = _with_phase(cells)
    contrasts = contrast_rows([row for row in rows if not is_probe(row["load"])], context)
    request_table = pa.concat_tables([REQUESTS_TABLE.empty_table(), *(one.requests for one in cells)])
    accuracies = [(one.key, one.accuracy) for one in cells if one.accuracy is not None]
    _write(run, "cells", pa.Table.from_pylist(rows, schema=CELLS))
    _write(run, "requests", request_table)
    _write(run, "contrasts", pa.Table.from_pylist(contrasts, schema=CONTRASTS))
    _write(run, "accuracy", accuracy_table(accuracies))
    return AnalysisSummary(
        cells=len(keys),
        measured=sum(one.phase is not None for one in cells),
        invalid=tuple(one.invalid for one in cells if one.invalid is not None),
        requests=request_table.num_rows,
        contrasts=len(contrasts),
        warnings=tuple(filter(None, (study_warning, plan_warning))),
    )


@dataclass
class _Tabulated:
    """One cell's part of the tables; the traces that it was made from are let go."""

    key: CellKey
    rows: list[Row]
    requests: pa.Table
    order: Ints  # which of the cell's requests are in the table, in its order
    accuracy: Accuracy | None
    phase: PhaseCell | None
    invalid: InvalidCell | None


def _tabulate(result: CellResult) -> _Tabulated:
    codes = _spoiled(result)
    table, order = _request_rows(result)
    graded = result.measured is not None and not is_probe(result.key.load)
    return _Tabulated(
        key=result.key,
        rows=cell_rows(result),
        requests=table,
        order=order,
        accuracy=result.measured.accuracy if result.measured is not None and graded else None,
        phase=keep(result, valid=not codes),
        invalid=InvalidCell(result.key, codes, result.problem) if codes else None,
    )


def _with_phase(cells: list[_Tabulated]) -> list[Row]:
    """All rows, and the column of the rule ``phase`` filled in: it takes all cells of a variant to know its costs."""
    fits = fit_variants([one.phase for one in cells if one.phase is not None])
    rows = []
    for one in cells:
        rows += one.rows
        if one.phase is None:
            continue
        more, split, _ = phase_of(one.phase, fits)
        rows += more
        joules = np.full(one.order.size, np.nan) if split is None else split.energy_j[one.order]
        at = one.requests.schema.get_field_index("energy_phase_j")
        filled = pa.array(joules, from_pandas=True)
        one.requests = one.requests.set_column(at, REQUESTS_TABLE.field("energy_phase_j"), filled)
    return rows


def read_table(run: RunDir, name: str) -> pa.Table:
    """A derived table.

    Raises:
        TraceError: it is not there (``starwatt analyze`` makes it), or does not read.
    """
    path = run.table(name)
    if not path.is_file():
        raise TraceError(f"{path}: is not there; starwatt analyze makes it")
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise TraceError(f"{path}: does not read; delete it and run starwatt analyze: {error}") from error


def _all_cells(run: RunDir) -> tuple[list[CellKey], str | None]:
    """Cells of the plan and cells on disk, sorted; and a warning where the plan does not read."""
    keys, warning = set(run.finished_cells()), None
    if run.plan.is_file():
        try:
            plan = pq.read_table(run.plan, columns=["model", "variant", "load", "block"])
        except (pa.ArrowException, OSError, KeyError) as error:
            warning = f"{run.plan}: does not read, so cells that were not measured are not known: {error}"
        else:
            keys |= {
                CellKey(model_slug(row["model"]), row["variant"], row["load"], row["block"])
                for row in plan.to_pylist()
            }
    return sorted(keys), warning


def _spoiled(result: CellResult) -> tuple[str, ...]:
    """Why a cell's joules do not count: reasons of the cell, or of its primary boundary."""
    primary = result.primary
    energy = result.energy_codes(primary) if primary else result.energy_reasons
    return tuple(sorted({*reasons_for("energy", result.codes), *energy}))


def _request_rows(result: CellResult) -> tuple[pa.Table, Ints]:
    """The measured requests of a cell, in the order of their ids, and where these stand in its trace."""
    measured, key = result.measured, result.key
    if measured is None:
        return REQUESTS_TABLE.empty_table(), np.zeros(0, dtype=np.int64)
    requests, energy = measured.requests, result.primary
    rows, size = requests.measured, requests.count
    columns = {name: requests.table.column(name).combine_chunks() for name in _COPIED}
    constant = {
        "model": key.model,
        "variant": key.variant,
        "load": key.load,
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
    identities, _ = ints(requests.table, "request_id")
    order = np.flatnonzero(rows)
    order = order[np.argsort(identities[order], kind="stable")]
    return table.take(pa.array(order)), order


_COPIED = (
    "request_id",
    "task_id",
    "sample",
    "role",
    "status",
    "finish_reason",
    "scheduled_ns",
    "sent_ns",
    "first_token_ns",
    "end_ns",
    "prompt_tokens",
    "output_tokens",
)


def _write(run: RunDir, name: str, table: pa.Table) -> None:
    """No clock in the metadata: a table says what its inputs say, whenever it is made."""
    write_parquet(
        run.table(name),
        table.replace_schema_metadata({"schema_version": str(SCHEMA_VERSION)}).combine_chunks(),
    )
