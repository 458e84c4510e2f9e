"""Make a cell's files of one load and the power beside it: whole in memory, so that nothing half lies in a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from configs.files.strict import LONGEST_S
from starwatt_errors import UsageError
from study.imported.calendar import Placed
from study.imported.power import PowerLog
from study.imported.requests import ImportedLoad, Request
from study.plan.prompts import NO_TESTS
from traces.atomic import write_parquet
from traces.cell import Audit, CellRecord, Phase, Phases, Served, file_digests, sha256_of, write_cell
from traces.imported import Imported, ImportedFile
from traces.layout import CellKey
from traces.schemas import POWER, REQUESTS, SCHEMA_VERSION

BOOT = "imported"
"""In place of a boot id: its times are of the calendar, and of no machine's clock."""
ENGINE_UNSEEN = "engine_unseen"
_TIMES = ("due_ns", "sent_ns", "first_token_ns", "end_ns")


@dataclass(frozen=True)
class Source:
    """A load, and where it is from."""

    path: Path
    load: ImportedLoad
    where: str
    """As messages name it."""


@dataclass(frozen=True)
class PowerBeside:
    """Hold the power beside a load: logs, how far their clocks are ahead, and when nothing was asked."""

    logs: Sequence[PowerLog]
    clock_offset_s: float
    clock_uncertainty_s: float
    idle_s: tuple[float, float] | None
    """From so many seconds before the first request to so many."""


@dataclass(frozen=True)
class MadeCell:
    """A cell that is not written yet."""

    key: CellKey
    requests: pa.Table
    power: pa.Table
    phases: Phases
    imported: Imported

    def write(self, folder: Path, run_id: str) -> None:
        """Write it; ``cell.json`` comes last."""
        folder.mkdir(parents=True, exist_ok=True)
        write_parquet(folder / "requests.parquet", self.requests)
        if self.power.num_rows:
            write_parquet(folder / "power.parquet", self.power)
        failed = Counter(status for status in self.requests["status"].to_pylist() if status != "ok")
        record = CellRecord(
            **asdict(self.key),
            boot_id=BOOT,
            run_id=run_id,
            files=file_digests(folder),
            phases=self.phases,
            served=Served(),
            audit=Audit(),
            errors=dict(failed),
            validity=[NO_TESTS],
            imported=self.imported,
        )
        write_cell(folder, record)


def made(source: Source, key: CellKey, placed: Placed, beside: PowerBeside) -> MadeCell:
    """Return the cell of a load.

    Raises:
        UsageError: it has no request, a log has no reading while it ran, or a figure is beyond what the files hold.
    """
    rows = sorted(
        (_row(request, placed.shift_ns) for request in source.load.requests),
        key=lambda row: (row["sent_ns"] is None, row["sent_ns"]),
    )
    times = [row[name] for row in rows for name in ("sent_ns", "end_ns") if row[name] is not None]
    if not times:
        raise UsageError(f"{source.where}: has no request with a time")
    span_ns = min(times), max(times)
    if span_ns[1] - span_ns[0] > LONGEST_S * 1e9:
        raise UsageError(
            f"{source.where}: its requests are from {_told(span_ns[0] * 1e-9)} to {_told(span_ns[1] * 1e-9)}, and a "
            "load of more than a week is not taken: one of its times is wrong, or times are of several units"
        )
    phases = _phases(rows, span_ns[0], beside.idle_s)
    from_ns = phases.idle_before.start_ns if phases.idle_before else span_ns[0]
    clocks = [log.clock(beside.clock_offset_s, beside.clock_uncertainty_s) for log in beside.logs]
    readings: list[dict[str, Any]] = []
    described = []
    for log, (offset_s, uncertainty_s) in zip(beside.logs, clocks, strict=True):
        _check_overlap(log, offset_s, span_ns, source.where)
        readings += log.rows(offset_s, from_ns, span_ns[1])
        described.append(log.described(offset_s, uncertainty_s + placed.uncertainty_s))
    imported = Imported(
        tool=source.load.tool,
        version=source.load.version,
        requests=ImportedFile(name=source.path.name, sha256=sha256_of(source.path)),
        logs=described,
        clock=placed.words,
        unknown=[*source.load.unknown, ENGINE_UNSEEN],
    )
    numbered = [{**row, "request_id": number} for number, row in enumerate(rows)]
    return MadeCell(
        key,
        _table(numbered, REQUESTS, span_ns[0], source.where),
        _table(sorted(readings, key=lambda row: row["t_ns"]), POWER, span_ns[0], source.where),
        phases,
        imported,
    )


def _row(request: Request, shift_ns: int) -> dict[str, Any]:
    """Make a row of ``requests.parquet``; which task it was nobody says."""
    due_ns, sent_ns, first_ns, end_ns = (
        None if (at := getattr(request, name)) is None else at + shift_ns for name in _TIMES
    )
    return {
        "sample": 0,
        "role": request.role,
        "worker": 0,
        "scheduled_ns": due_ns,
        "sent_ns": sent_ns,
        "first_token_ns": first_ns,
        "end_ns": end_ns,
        "chunk_ns": [at + shift_ns for at in request.chunk_ns],
        "prompt_tokens": request.prompt_tokens,
        "cached_tokens": request.cached_tokens,
        "output_tokens": request.output_tokens,
        "status": request.status,
        "http_status": request.http_status,
        "error": _whole(request.error),
        "completion": _whole(request.completion),
    }


def _whole(text: str | None) -> str | None:
    """Put U+FFFD in place of halves of characters, which some tokenizers leave and no trace can hold."""
    return None if text is None else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _phases(rows: Sequence[dict[str, Any]], first_ns: int, idle_s: tuple[float, float] | None) -> Phases:
    measured = [
        row for row in rows if row["role"] == "measured" and None not in (row["sent_ns"], row["end_ns"])
    ]
    window = idle = None
    if measured:
        ends = min(row["sent_ns"] for row in measured), max(row["end_ns"] for row in measured)
        window = Phase(start_ns=ends[0], end_ns=ends[1])
    if idle_s is not None:
        idle = Phase(start_ns=first_ns - round(idle_s[0] * 1e9), end_ns=first_ns - round(idle_s[1] * 1e9))
    return Phases(idle_before=idle, window=window)


def _check_overlap(log: PowerLog, offset_s: float, span_ns: tuple[int, int], where: str) -> None:
    first_s, last_s = (at - offset_s for at in log.span_s)
    if first_s <= span_ns[1] * 1e-9 and last_s >= span_ns[0] * 1e-9:
        return
    raise UsageError(
        f"{log.settings.file}: its readings are from {_told(first_s)} to {_told(last_s)}, and the requests of {where} "
        f"from {_told(span_ns[0] * 1e-9)} to {_told(span_ns[1] * 1e-9)}: they do not meet. --zone (or --power "
        "FILE,zone=NAME) is that of times which name none, and --clock-offset by how much the log's clock is ahead"
    )


def _told(at_s: float) -> str:
    try:
        return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"{at_s:g} s since 1970"


def _table(rows: list[dict[str, Any]], schema: pa.Schema, at_ns: int, where: str) -> pa.Table:
    """Make a trace whose clock is the calendar: both clocks of its pair are the same."""
    metadata = {
        "schema_version": str(SCHEMA_VERSION),
        "boot_id": BOOT,
        "monotonic_ns": str(at_ns),
        "realtime_ns": str(at_ns),
    }
    try:
        return pa.Table.from_pylist(rows, schema=schema.with_metadata(metadata))
    except (pa.ArrowException, OverflowError) as error:
        raise UsageError(f"{where}: holds a number that no trace can hold: {error}") from error
