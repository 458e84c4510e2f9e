"""Make one trace and one result of what several workers recorded.

``python -m loadgen.merge DIR`` merges ``DIR/worker-*``, where Locust's workers were other machines.
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from configs.loads import Load
from loadgen.audit import LoopWatch, audit_of, measured_in, phases_of
from loadgen.result import LoadResult
from starwatt_errors import StarwattError
from traces.atomic import write_parquet
from traces.cell import Audit
from traces.parquet import with_column
from traces.remote import PowerClock
from traces.schemas import REQUESTS
from traces.streams import read_trace, stamped

_COUNTS = ("connections_opened_late", "connections_open_most", "resent")


def merge_traces(folders: Sequence[Path], out: Path, clocks: Sequence[PowerClock] | None = None) -> pa.Table:
    """Write ``out/requests.parquet`` from one folder a worker, in their order, and remove these.

    ``worker`` is a folder's place; requests are numbered anew, by the time that they were scheduled for. Of an open
    load that is the number which a single worker would have given them.

    With ``clocks``, one a folder, times are shifted by these offsets to the clock of this machine. Without, those of
    another machine are shifted to the first one's clock by what both took the calendar time to be: as right as the
    machines' calendar clocks agree. Durations within a request stay exact.

    Raises:
        TraceError: the trace of a worker cannot be read.
    """
    tables: list[pa.Table] = []
    for number, folder in enumerate(folders):
        table = read_trace(folder, "requests")
        table = with_column(table, "worker", [number] * len(table))
        if clocks is not None:
            tables.append(_shifted(table, -clocks[number].shift_ns))
        else:
            tables.append(_on_the_clock_of(tables[0], table) if tables else table)
    metadata = tables[0].schema.metadata if clocks is None else stamped(REQUESTS).metadata
    merged = pa.concat_tables([table.replace_schema_metadata(metadata) for table in tables])
    order = pc.sort_indices(
        merged,
        sort_keys=[("scheduled_ns", "ascending"), ("worker", "ascending"), ("request_id", "ascending")],
    )
    merged = merged.take(order)
    merged = with_column(merged, "request_id", list(range(len(merged))))
    write_parquet(out / "requests.parquet", merged)
    for folder in folders:
        shutil.rmtree(folder)
    return merged


def merge_results(results: Sequence[LoadResult], requests: pa.Table, load: Load) -> LoadResult:
    """Phases and audit of all workers together; rates, lag and window are those of the merged requests.

    ``cpu_share`` is the sum over the workers, in CPU seconds a second, and the event-loop lag the worst of them.
    """
    measured, known = measured_in(requests), [result.phases for result in results]
    start_ns = min(phases.warmup.start_ns for phases in known if phases.warmup is not None)
    ends = (phase for phases in known for phase in (phases.warmup, phases.drain))
    phases = phases_of(start_ns, measured, max(phase.end_ns for phase in ends if phase is not None))
    audits = [result.audit for result in results]
    audit = audit_of(measured, phases, _watch_of(audits), load).model_copy(
        update={
            "client": audits[0].client,
            **{name: _sum([getattr(worker_audit, name) for worker_audit in audits]) for name in _COUNTS},
        }
    )
    errors: Counter[str] = Counter()
    for result in results:
        errors.update(result.errors)
    interrupted = any(result.interrupted for result in results)
    gave_up = next((result.gave_up for result in results if result.gave_up), None)
    return LoadResult(phases, audit, dict(errors), interrupted, gave_up)


def _watch_of(audits: Sequence[Audit]) -> LoopWatch:
    watch = LoopWatch()
    watch.cpu_share = sum(audit.cpu_share or 0.0 for audit in audits)
    watch.late_max_ns = round(max(audit.loop_lag_max_ms or 0.0 for audit in audits) * 1e6)
    return watch


def _sum(counts: Sequence[int | None]) -> int | None:
    """None where one is not known."""
    return None if None in counts else sum(filter(None, counts))


def _on_the_clock_of(reference: pa.Table, table: pa.Table) -> pa.Table:
    mine, theirs = table.schema.metadata, reference.schema.metadata
    if mine[b"boot_id"] == theirs[b"boot_id"]:
        return table
    calendar = [int(metadata[b"realtime_ns"]) - int(metadata[b"monotonic_ns"]) for metadata in (mine, theirs)]
    return _shifted(table, calendar[0] - calendar[1])


def _shifted(table: pa.Table, shift_ns: int) -> pa.Table:
    """All times later by so much."""
    if shift_ns == 0:
        return table
    for name in ("scheduled_ns", "sent_ns", "first_token_ns", "end_ns"):
        table = with_column(table, name, pc.add(table.column(name), shift_ns))
    shifted = [
        None if chunk_ns is None else [t_ns + shift_ns for t_ns in chunk_ns]
        for chunk_ns in table.column("chunk_ns").to_pylist()
    ]
    return with_column(table, "chunk_ns", shifted)


def main() -> int:
    """Merge the folders of the workers of a Locust run, and say what came of it."""
    out = Path(sys.argv[1])
    folders = sorted(out.glob("worker-*"), key=lambda folder: int(folder.name.rpartition("-")[2]))
    if not folders:
        print(f"{out} holds no folder worker-N", file=sys.stderr)  # noqa: T201
        return 2
    try:
        requests = merge_traces(folders, out)
    except StarwattError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    print(f"{requests.num_rows} requests: {out / 'requests.parquet'}")  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
