"""Make one trace and one result of what several workers recorded.

``python -m loadgen.merge DIR`` merges ``DIR/worker-*``, where Locust's workers were other machines.
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from configs.loads import Load
from loadgen.audit import Instants, LoopWatch, audit_of, measured_in, phases_of
from loadgen.result import LoadResult
from starwatt_errors import StarwattError
from traces.atomic import write_groups
from traces.cell import Audit
from traces.parquet import with_column
from traces.pieces import Trace, open_trace
from traces.remote import PowerClock
from traces.schemas import REQUESTS
from traces.streams import stamped

Ranks = npt.NDArray[np.int64]
_ORDER = ["scheduled_ns", "worker", "request_id"]
_ROWS = 1 << 13
"""To a row group: what is scheduled together ends about together, so that not many more wait."""
_COUNTS = ("connections_opened_late", "connections_open_most", "resent")


@dataclass(frozen=True)
class Merged:
    """A merged trace: its rows, and when its measured requests went."""

    rows: int
    measured: Instants
    """(n, 4) instants of the measured requests (``loadgen.audit.MeasuredTimes``)."""


def merge_traces(folders: Sequence[Path], out: Path, clocks: Sequence[PowerClock] | None = None) -> Merged:
    """Write ``out/requests.parquet`` from one folder a worker, in their order, and remove these.

    ``worker`` is a folder's place; requests are numbered anew, by the time that they were scheduled for. Of an open
    load that is the number which a single worker would have given them. Rows are read and written some thousand at a
    time, and wait only for those that were scheduled before them.

    With ``clocks``, one a folder, times are shifted by these offsets to the clock of this machine. Without, those of
    another machine are shifted to the first one's clock by what both took the calendar time to be: as right as the
    machines' calendar clocks agree. Durations within a request stay exact.

    Raises:
        TraceError: the trace of a worker cannot be read.
    """
    traces = [open_trace(folder, "requests") for folder in folders]
    first = traces[0].schema.metadata
    if clocks is None:
        shifts_ns = [_to_the_clock_of(first, trace.schema.metadata) for trace in traces]
    else:
        shifts_ns = [-clock.shift_ns for clock in clocks]
    metadata = first if clocks is None else stamped(REQUESTS).metadata
    schema = REQUESTS.with_metadata(metadata)
    ranks = _ranks(traces, shifts_ns)
    workers = [_Worker(number, *of) for number, of in enumerate(zip(traces, ranks, shifts_ns, strict=True))]
    rows = sum(of_worker.size for of_worker in ranks)
    write_groups(out / "requests.parquet", schema, _in_order(workers, rows))
    for folder in folders:
        shutil.rmtree(folder)
    return Merged(rows, measured_in(open_trace(out, "requests")))


def merge_results(results: Sequence[LoadResult], measured: Instants, load: Load) -> LoadResult:
    """Merge phases and audits of all workers; rates, lag and window are those of the measured requests (n, 4).

    ``cpu_share`` is the sum over the workers, in CPU seconds a second, and the event-loop lag the worst of them.
    """
    known = [result.phases for result in results]
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


def _to_the_clock_of(reference: Mapping[bytes, bytes], shifted: Mapping[bytes, bytes]) -> int:
    """Return what the times of one machine's trace are shifted by to be on another's clock, ns."""
    if shifted[b"boot_id"] == reference[b"boot_id"]:
        return 0
    calendar = [
        int(metadata[b"realtime_ns"]) - int(metadata[b"monotonic_ns"]) for metadata in (shifted, reference)
    ]
    return calendar[0] - calendar[1]


def _ranks(traces: Sequence[Trace], shifts_ns: Sequence[int]) -> list[Ranks]:
    """Return the place of each worker's rows among all."""
    keys = []
    for number, (trace, shift_ns) in enumerate(zip(traces, shifts_ns, strict=True)):
        rows = trace.read(["scheduled_ns", "request_id"])
        scheduled = pc.add(rows["scheduled_ns"], shift_ns)
        keys.append(pa.table([scheduled, pa.repeat(number, rows.num_rows), rows["request_id"]], names=_ORDER))
    order = pc.sort_indices(
        pa.concat_tables(keys), sort_keys=[(name, "ascending") for name in _ORDER]
    ).to_numpy()
    ranks = np.empty(order.size, dtype=np.int64)
    ranks[order] = np.arange(order.size)
    return np.split(ranks, np.cumsum([of_worker.num_rows for of_worker in keys])[:-1])


class _Worker:
    """One worker's rows, which come in the order that they ended in, and leave in that of all."""

    def __init__(self, number: int, trace: Trace, ranks: Ranks, shift_ns: int) -> None:
        self._number, self._ranks, self._shift_ns = number, ranks, shift_ns
        last = np.full(ranks.max(initial=-1) // _ROWS + 1, -1)
        np.maximum.at(last, ranks // _ROWS, np.arange(ranks.size))
        # Rows until all of a group, and of those before it, are read.
        self._needed = np.maximum.accumulate(last) + 1
        self._pieces = trace.pieces(REQUESTS.names)
        self._waiting = REQUESTS.empty_table()
        self._read = 0

    def take(self, group: int) -> pa.Table:
        """Take the rows of the next group of all; ``request_id`` is their place."""
        needed = int(self._needed[group]) if group < self._needed.size else self._ranks.size
        while self._read < needed:
            self._waiting = pa.concat_tables([self._waiting, self._next()])
        taken = pc.less(self._waiting["request_id"], (group + 1) * _ROWS)
        rows, self._waiting = self._waiting.filter(taken), self._waiting.filter(pc.invert(taken))
        return rows

    def _next(self) -> pa.Table:
        piece = _shifted(next(self._pieces), self._shift_ns)
        first, self._read = self._read, self._read + piece.num_rows
        number = pa.repeat(pa.scalar(self._number, REQUESTS.field("worker").type), piece.num_rows)
        piece = with_column(piece, "worker", number)
        return with_column(piece, "request_id", pa.array(self._ranks[first : self._read]))


def _in_order(workers: Sequence[_Worker], rows: int) -> Iterator[pa.Table]:
    for group in range(-(-rows // _ROWS)):
        of_group = pa.concat_tables([worker.take(group) for worker in workers])
        yield of_group.sort_by("request_id")


def _shifted(table: pa.Table, shift_ns: int) -> pa.Table:
    """Shift all times by so much."""
    if shift_ns == 0:
        return table
    for name in ("scheduled_ns", "sent_ns", "first_token_ns", "end_ns"):
        table = with_column(table, name, pc.add(table.column(name), shift_ns))
    lists = table.column("chunk_ns").combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate(([0], np.cumsum(lengths))), pa.int32())
    later = pc.add(lists.flatten(), shift_ns)
    return with_column(table, "chunk_ns", pa.ListArray.from_arrays(offsets, later, mask=lists.is_null()))


def main() -> int:
    """Merge the folders of the workers of a Locust run, and say what came of it."""
    out = Path(sys.argv[1])
    folders = sorted(out.glob("worker-*"), key=lambda folder: int(folder.name.rpartition("-")[2]))
    if not folders:
        print(f"{out} holds no folder worker-N", file=sys.stderr)  # noqa: T201
        return 2
    try:
        merged = merge_traces(folders, out)
    except StarwattError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    print(f"{merged.rows} requests: {out / 'requests.parquet'}")  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
