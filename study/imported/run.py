"""``starwatt import``: files that other tools wrote become cells of a new run, or of one that was imported before."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.files.strict import LONGEST_S, checked_name
from configs.loads import is_probe
from starwatt_errors import TraceError, UsageError
from study.imported.calendar import Stated, place
from study.imported.cell import MadeCell, PowerBeside, Source, made
from study.imported.files import read_loads
from study.imported.power import read_logs
from study.plan.cells import unplanned_table
from study.records.lock import held
from study.records.run_id import new_run_id
from traces.atomic import read_json, write_json, write_parquet
from traces.cell import read_cell, sha256_of
from traces.layout import CellKey, RunDir, model_slug
from traces.schemas import SCHEMA_VERSION


@dataclass(frozen=True)
class ImportOrder:
    """Hold what is imported, into which run, and what is stated of it."""

    files: tuple[Path, ...]
    out: Path
    power: tuple[str, ...] = ()
    model: str | None = None
    variant: str = "endpoint"
    load: str | None = None
    block: int | None = None
    clock_offset_s: float = 0.0
    clock_uncertainty_s: float = 0.1
    stated: Stated = field(default_factory=Stated)
    idle_s: tuple[float, float] | None = None


def import_run(order: ImportOrder) -> tuple[RunDir, list[MadeCell]]:
    """Import every load of every file; nothing is written unless all of them can be.

    Raises:
        UsageError: a file is none that is read, says too little, or was imported already; ``out`` is no imported run.
        MeterError: a power log cannot be read.
        RunError: another process imports into the same run.
    """
    run = RunDir(order.out)
    with held(run, "imported into"):
        return run, _imported(order, run)


def _imported(order: ImportOrder, run: RunDir) -> list[MadeCell]:
    manifest = _earlier(run)
    sources = [source for path in order.files for source in _sources(path, order.stated.zone)]
    _check(order, sources, run)
    beside = PowerBeside(
        read_logs(order.power, order.stated.zone),
        order.clock_offset_s,
        order.clock_uncertainty_s,
        order.idle_s,
    )
    cells: list[MadeCell] = []
    for source in sources:
        taken = [*run.finished_cells(), *(cell.key for cell in cells)]
        placed = place(source.load, order.stated, source.where)
        cells.append(made(source, _key(source, order, taken), placed, beside))
    _write(run, manifest, cells)
    return cells


def _earlier(run: RunDir) -> dict[str, Any]:
    """Return the manifest of an imported run that is added to; a new one where there is nothing.

    Raises:
        UsageError: something else is there.
    """
    if not any(path != run.lock for path in run.root.iterdir()):
        return {"schema_version": SCHEMA_VERSION, "run_id": new_run_id(), "imported": {}}
    try:
        manifest = read_json(run.manifest)
    except TraceError as error:
        raise UsageError(f"--out {run.root}: takes a new folder, or an imported run ({error})") from error
    if (
        not isinstance(manifest, dict)
        or not isinstance(manifest.get("imported"), dict)
        or "run_id" not in manifest
    ):
        raise UsageError(
            f"--out {run.root}: is no imported run: what others measured does not go into it; name another"
        )
    return manifest


def _sources(path: Path, zone: str | None) -> Iterator[Source]:
    loads = read_loads(path, zone)
    for number, load in enumerate(loads, 1):
        yield Source(path, load, str(path) if len(loads) == 1 else f"{path}, load {number}")


def _check(order: ImportOrder, sources: Sequence[Source], run: RunDir) -> None:
    """Refuse what would be counted twice, and flags of one load where there are several."""
    if len(sources) > 1 and (order.block is not None or order.stated.at_s is not None):
        flag = "--block" if order.block is not None else "--at"
        raise UsageError(f"{flag} is of one load, and {len(sources)} are imported: one call for each")
    if order.idle_s is not None and not LONGEST_S >= order.idle_s[0] > order.idle_s[1] >= 0:
        raise UsageError(
            f"--idle {order.idle_s[0]:g} {order.idle_s[1]:g}: takes from and to, in seconds before, 30 5"
        )
    records = {key: read_cell(run.cell(key)).imported for key in run.finished_cells()}
    known = {imported.requests.sha256: str(key) for key, imported in records.items() if imported is not None}
    for path in order.files:
        digest = sha256_of(path)
        if digest in known:
            raise UsageError(f"{path}: was imported already ({known[digest]}): a load counts once")
        known[digest] = f"as another file of this call, {path}"


def _key(source: Source, order: ImportOrder, taken: Sequence[CellKey]) -> CellKey:
    """Return the cell that a load is: what the flags say, otherwise its file; the next block of that.

    Raises:
        UsageError: nothing says it, or the block is there already.
    """
    model = order.model or source.load.model
    load = order.load or (source.load.load.slug if source.load.load else None)
    for flag, value, example in (("--model", model, "org/name"), ("--load", load, "closed-8")):
        if value is None:
            raise UsageError(
                f"{source.where}: does not say {flag[2:]}: give {flag}, such as {flag} {example}"
            )
    assert model is not None  # noqa: S101 -- refused above
    assert load is not None  # noqa: S101
    names = {"--model": model_slug(model), "--variant": order.variant, "--load": load}
    for flag, name in names.items():
        try:
            checked_name(name)
        except ValueError as error:
            raise UsageError(f"{flag} {name}: {error}") from error
    if is_probe(load):
        raise UsageError(f"--load {load}: that is what probes of a study are called; name it otherwise")
    cell = CellKey(names["--model"], order.variant, load, 1)
    blocks = [
        key.block for key in taken if (key.model, key.variant, key.load) == (cell.model, cell.variant, load)
    ]
    if order.block in blocks:
        raise UsageError(
            f"--block {order.block}: the run has {cell.variant} · {load} · b{order.block} already"
        )
    block = order.block or max(blocks, default=0) + 1
    return CellKey(cell.model, cell.variant, load, block)


def _write(run: RunDir, manifest: dict[str, Any], cells: Sequence[MadeCell]) -> None:
    """Write the plan before the cells: a cell that it lacks is taken for a stranger's."""
    told = {str(cell.key): _words(cell) for cell in cells}
    write_json(run.manifest, {**manifest, "imported": {**manifest["imported"], **told}})
    write_parquet(run.plan, unplanned_table([*run.finished_cells(), *(cell.key for cell in cells)]))
    for cell in cells:
        folder = run.cell(cell.key)
        if folder.exists():
            shutil.rmtree(folder)  # an import that was killed left it
        cell.write(folder, manifest["run_id"])


def _words(cell: MadeCell) -> str:
    """Return where a cell comes from, for the report."""
    about = cell.imported
    logs = "; ".join(
        f"power by {log.form} log {log.file.name} ({log.device}), clocks within {log.clock_uncertainty_s:g} s"
        for log in about.logs
    )
    tool = " ".join(filter(None, (about.tool, about.version)))
    return f"requests from {tool} ({about.requests.name}); {about.clock}; {logs or 'no power'}"
