"""Check that cells are what their folder says: of this run, of its plan, whole, and no copy of another.

Figures of a cell that lies in another's place would be valid ones of the wrong cell. Runs that were measured before
cells kept digests are judged by what there is: names, boots, the plan, and times.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.runs.provenance import cells_of, read_manifest, read_plan, read_study
from starwatt_errors import TraceError
from traces.cell import CellRecord, Phase
from traces.cell_files import CellFiles
from traces.layout import CellKey, RunDir
from traces.record import REMEDY_OF_A_CELL

_PRINTED = {"requests": ("sent_ns", "end_ns"), "power": ("t_ns", "power_w", "energy_j")}
"""Columns that no two recordings have in common, by trace."""
_COMPARED = {**_PRINTED, "requests": ("request_id", *_PRINTED["requests"])}
_SAID = {"requests": "request times", "power": "power readings"}


@dataclass(frozen=True)
class _Run:
    """Hold what the cells of a run have in common."""

    run_id: str | None
    boots: frozenset[str]  # of the hosts that measured it; empty: not all are known
    planned: frozenset[CellKey] | None  # None: neither plan nor study read


@dataclass(frozen=True)
class Identity:
    """The place in a study that the files of one cell say they belong to."""

    unreadable: str | None = None  # its record cannot be read, or its files are not those that it names
    run_id: str | None = None
    boot_id: str = ""
    problem: str | None = None  # what is wrong with its traces
    prints: tuple[tuple[str, str], ...] = ()  # (trace, fingerprint)


def identity_of(files: CellFiles) -> Identity:
    """Check a finished cell by its own files; the run that it should be of is not looked at."""
    try:
        record = files.record
        files.check()
    except TraceError as error:
        return Identity(unreadable=str(error))
    said = Identity(run_id=record.run_id, boot_id=record.boot_id)
    try:
        return replace(said, prints=_prints(files))
    except TraceError as error:
        return replace(said, problem=str(error))


def misplaced_cells(run: RunDir) -> dict[CellKey, str]:
    """Return finished cells that are not what their folder says, or whose files were changed, and why."""
    return misplaced_in(run, {key: identity_of(CellFiles(run.cell(key))) for key in run.finished_cells()})


def misplaced_in(run: RunDir, identities: Mapping[CellKey, Identity]) -> dict[CellKey, str]:
    """Do what ``misplaced_cells`` does, for identities that are known already: of every finished cell."""
    about = _about(run)
    problems: dict[CellKey, str] = {}
    prints: dict[tuple[str, str], list[CellKey]] = {}
    for key, identity in identities.items():
        problem = identity.unreadable or _not_of(run, key, identity, about) or identity.problem
        if problem is not None:
            problems[key] = problem
            continue
        for fingerprint in identity.prints:
            prints.setdefault(fingerprint, []).append(key)
    for (name, _), keys in prints.items():
        for key in keys if len(keys) > 1 else ():
            others = ", ".join(str(other) for other in keys if other != key)
            said = f"has the {_SAID[name]} of {others}"
            problems[key] = f"{said}: one of them is a copy, and which can't be told"
    return problems


def _about(run: RunDir) -> _Run:
    try:
        manifest = read_manifest(run)
    except TraceError:
        manifest = {}
    return _Run(manifest.get("run_id"), _boots(manifest), _planned(run))


def _planned(run: RunDir) -> frozenset[CellKey] | None:
    """List the cells by the plan; by the study where the plan was lost."""
    with contextlib.suppress(TraceError):
        return frozenset(read_plan(run))
    with contextlib.suppress(TraceError):
        return cells_of(read_study(run))
    return None


def _boots(manifest: Mapping[str, Any]) -> frozenset[str]:
    """Collect the boots that runners of a single host named; a cluster has none: its nodes may start anew."""
    sessions = manifest.get("sessions")
    if manifest.get("nodes") or not (sessions or manifest.get("load")):
        return frozenset()
    said = [
        (manifest.get("host") or {}).get("boot_id"),
        *(session.get("boot_id") for session in sessions or ()),
    ]
    return frozenset(boot for boot in said if boot)


def _not_of(run: RunDir, key: CellKey, identity: Identity, about: _Run) -> str | None:
    """Say why a cell is none of this run's; None where it may be."""
    if about.planned is not None and key not in about.planned:
        return f"{run.cell(key)}: is no cell of this run's plan, {run.plan}"
    if identity.run_id is not None and about.run_id is not None:
        if identity.run_id != about.run_id:
            said = f"{identity.run_id}, this is {about.run_id}"
            return f"{run.cell(key)}: was measured in another run ({said})"
    elif about.boots and identity.boot_id not in about.boots:
        said = f"was measured by a machine, or since a start of it, that {run.manifest} lacks"
        return f"{run.cell(key)}: {said}"
    return None


def _prints(files: CellFiles) -> tuple[tuple[str, str], ...]:
    """(trace, fingerprint) of a cell's traces; raises TraceError where they are not those of its time."""
    # others' loads may share a power log
    names = ("requests",) if files.record.imported is not None else _PRINTED
    tables = {name: files.open(name).read(_COMPARED[name]) for name in names if files.has(name)}
    if "requests" in tables:
        _asked_meanwhile(files.folder, tables["requests"], files.record)
        _each_once(files.folder, tables["requests"])
    return tuple((name, mark) for name, table in tables.items() if (mark := _print(name, table)) is not None)


def _asked_meanwhile(folder: Path, requests: pa.Table, record: CellRecord) -> None:
    """Raises TraceError where the requests are of another boot than the record, or of a time that no phase has.

    Power that does not reach the window needs no such test: it is a ``power_gap``.
    """
    what = f"{folder}: the requests were made"
    boot = (requests.schema.metadata or {}).get(b"boot_id", b"").decode(errors="replace")
    if boot and boot != record.boot_id:
        raise TraceError(f"{what} after another start of the machine than cell.json says")
    times = pa.chunked_array([*requests["sent_ns"].chunks, *requests["end_ns"].chunks], pa.int64())
    phases = [phase for _, phase in record.phases if isinstance(phase, Phase)]
    span = pc.min_max(times).as_py()
    if not phases or span["min"] is None:
        return
    first_ns, last_ns = min(stretch.start_ns for stretch in phases), max(stretch.end_ns for stretch in phases)
    if span["max"] < first_ns or span["min"] > last_ns:
        raise TraceError(f"{what} while this cell was not measured: they are another cell's")


def _each_once(folder: Path, requests: pa.Table) -> None:
    """Raises TraceError where a request is there twice: it would count, and be charged, twice."""
    numbers = requests["request_id"]
    if pc.count_distinct(numbers, mode="all").as_py() < len(numbers):
        raise TraceError(
            f"{folder / 'requests.parquet'}: has a request_id twice: rows were copied; {REMEDY_OF_A_CELL}"
        )


def _print(name: str, table: pa.Table) -> str | None:
    """Equal for copies alone; None where there is nothing to tell by."""
    columns = [np.asarray(table[column].to_numpy()) for column in _PRINTED[name]]
    if not table.num_rows or not any(np.isfinite(column.astype(np.float64)).any() for column in columns):
        return None
    digest = hashlib.sha256()
    for column in columns:
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()
