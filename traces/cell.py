"""``cell.json``: what a finished cell says about itself. Written last; a cell counts only once it is there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from starwatt_errors import TraceError
from traces.atomic import read_json, write_json
from traces.board import BoardHeld
from traces.imported import Imported
from traces.layout import CellKey, key_at
from traces.rate import RateFound
from traces.record import REMEDY_OF_A_CELL, Record, another_version, wrong_field
from traces.remote import PowerClock
from traces.schemas import SCHEMA_VERSION


class Phase(Record):
    """A stretch of the cell, in monotonic nanoseconds."""

    start_ns: int = Field(ge=0, lt=1 << 63)
    end_ns: int = Field(ge=0, lt=1 << 63)


class Phases(Record):
    """Idle, warm-up, the measured window, drain, idle again; null where a cell has none."""

    idle_before: Phase | None = None
    warmup: Phase | None = None
    window: Phase | None = None
    drain: Phase | None = None
    idle_after: Phase | None = None


class Served(Record):
    """Describe the engine that really served the cell."""

    engine: str | None = Field(
        default=None, description="vllm or transformers; null for an endpoint that already ran"
    )
    version: str | None = Field(default=None, description="Distribution and version of the engine")
    model_implementation: str | None = Field(default=None, description="The class vLLM resolved")
    kernels: list[str] = Field(default=[], description="Log lines of the engine that name its kernels")
    quantization: str | None = Field(default=None, description="As the engine names it")
    dtype: str | None = Field(default=None, description="What is not quantised is computed in it")
    kv_cache_tokens: int | None = Field(default=None, description="KV capacity in tokens")
    command: list[str] = Field(default=[], description="Its command line, without secrets")
    checkpoint: str | None = Field(default=None, description="Digest in the checkpoint store")
    memorised: bool = Field(
        default=False, description="The model was fitted to the very tasks it is graded on"
    )
    random_weights: bool = Field(
        default=False, description="The weights are random: energy and speed alone mean something"
    )
    family: str | None = Field(
        default=None, description="The model's family, as transformers names it; null: not known"
    )
    notes: list[str] = Field(
        default=[], description="Codes of what is to be known of it, which spoil nothing"
    )
    url: str | None = Field(default=None, description="Where it ran already; null: started for this study")
    root: str | None = Field(default=None, description="What an engine that ran already says it loaded")
    max_model_len: int | None = Field(default=None, description="Its own limit, tokens, where it says so")
    prefix_cache: bool | None = Field(default=None, description="Whether it reuses prompts, where it says so")
    speculation: str | None = Field(
        default=None,
        description="How tokens are drafted, such as ngram; null: not at all, or it does not say",
    )
    kv_cache_dtype: str | None = Field(
        default=None, description="Of the KV cache; auto: as the model computes"
    )
    chunked_prefill: bool | None = Field(default=None, description="Whether long prompts are read in pieces")
    parallel: dict[str, int] = Field(
        default={}, description="Boards by kind (tensor, pipeline, data), where it says so"
    )
    engine_args: dict[str, Any] = Field(
        default={}, description="The variant's own settings of the engine, as they were given"
    )
    started_s: float | None = Field(
        default=None,
        description="When its process started, seconds since 1970: cells of one start say the same",
    )


class Node(Record):
    """The machine whose power a cell holds."""

    name: str = Field(description="Of the host, or of a slot of it, such as HOST:gpu1")
    boot_id: str | None = Field(default=None, description="Null: a machine that no service of ours runs on")
    cpus: int | None = Field(default=None, description="How many it has")


class Audit(Record):
    """Hold what shows whether load generator and sidecar kept up."""

    lag_p50_ms: float | None = Field(default=None, description="sent_ns - scheduled_ns of measured requests")
    lag_p99_ms: float | None = None
    lag_max_ms: float | None = None
    loop_lag_max_ms: float | None = Field(default=None, description="How late the event loop's own timer was")
    cpu_share: float | None = Field(default=None, description="CPU seconds of the generator per second")
    sidecar_cpu_share: float | None = Field(
        default=None, description="CPU seconds of the power sidecar per second"
    )
    sidecar_late_p50_ms: float | None = Field(default=None, description="How late its readings began")
    sidecar_late_p99_ms: float | None = None
    sidecar_skipped: int | None = Field(
        default=None, description="Instants of its schedule that passed during a reading"
    )
    residents_cpu_share: float | None = Field(
        default=None,
        description="CPU seconds per second of the study's other engines, loaded and not asked; null: there are none",
    )
    offered_rate: float | None = Field(default=None, description="Open loads: scheduled requests per second")
    achieved_rate: float | None = Field(default=None, description="Requests sent per second in the window")
    client: str | None = Field(
        default=None,
        description="Which client made the requests: wire sends and times outside Python; the others on the"
        " event loop, TTFT about 0.1 ms later in the mean at 400 requests/s (docs/decisions/0025-wire.md)",
    )
    connections_opened_late: int | None = Field(
        default=None,
        description="Connections opened while a request waited for one; null: the client can't say",
    )
    connections_open_most: int | None = Field(
        default=None, description="Connections open at once, at most; null: the client can't say"
    )
    resent: int | None = Field(
        default=None,
        description="Requests sent once more on a new connection, as the server had closed the one that was kept",
    )


class BoardState(Record):
    """Say how warm a board was and what it drew; null is what it does not say."""

    temperature_c: float | None = None
    power_w: float | None = None


class CoolStart(Record):
    """The boards before the engine was started."""

    waited_s: float = Field(description="Until they were cool, or the time was up")
    cooled: bool = Field(description="False: the time was up")
    boards: dict[str, BoardState] = Field(description="By UUID, at the end of that")


class CellRecord(Record):
    """The whole of ``cell.json``."""

    schema_version: int = Field(default=SCHEMA_VERSION, description="Of the cell's files")
    model: str = Field(description="The model's name in paths")
    variant: str
    load: str = Field(description="The load's name in paths")
    block: int = Field(description="Number of the block, from 1")
    boot_id: str = Field(
        description="Which boot of the runner's host measured it: times of two boots do not compare"
    )
    run_id: str | None = Field(
        default=None, description="That of the manifest of its run; null: an older run, which has none"
    )
    files: dict[str, str] = Field(
        default={},
        description="SHA-256 of its traces when it was finished, by file name; empty: an older run",
    )
    engine_start: int | None = Field(
        default=None, description="Which engine start of the run served it; null: unknown"
    )
    cool_start: CoolStart | None = Field(
        default=None,
        description="Before its engine was started; null: no board says, it was not asked for, or other engines of the"
        " study were loaded there",
    )
    board: BoardHeld | None = Field(
        default=None, description="What its boards were set to; null: they were left alone"
    )
    rate: RateFound | None = Field(
        default=None, description="Of a load whose rate was looked for, what was found; null elsewhere"
    )
    phases: Phases = Field(description="When each part of the cell began and ended")
    served: Served = Field(description="The engine as it said it was")
    audit: Audit = Field(description="Load generator and sidecar: how late, and at what cost")
    errors: dict[str, int] = Field(default={}, description="Requests per status other than ok, all roles")
    validity: list[str] = Field(default=[], description="Reason codes known when the cell ended")
    node: Node | None = Field(default=None, description="Where the engine ran; null: not recorded")
    worker_clocks: list[PowerClock] = Field(
        default=[],
        description="Of load generators elsewhere, by worker: requests are shifted by them already",
    )
    power_clock: PowerClock | None = Field(
        default=None, description="Set where another host recorded power; null: the clock of the requests"
    )
    imported: Imported | None = Field(
        default=None, description="Where others measured it; null: starwatt did"
    )

    @property
    def key(self) -> CellKey:
        """Return the cell that it says it is of."""
        return CellKey(self.model, self.variant, self.load, self.block)


def write_cell(folder: Path, record: CellRecord) -> None:
    """Finish a cell: from here on it counts."""
    write_json(folder / "cell.json", record.model_dump(mode="json"))


def read_cell(folder: Path) -> CellRecord:
    """Read the record of a finished cell.

    Raises:
        TraceError: missing, damaged, of another schema version, or of another cell than the folder's path says.
    """
    record, place = read_record(folder), key_at(folder)
    if place is not None and record.key != place:
        raise TraceError(
            f"{folder / 'cell.json'}: is of the cell {record.key}, and lies where {place} belongs: "
            "move the folder back, or delete it and measure it again"
        )
    return record


def read_record(folder: Path) -> CellRecord:
    """Read a ``cell.json``, of whichever cell it is.

    Raises:
        TraceError: missing, damaged, or of another schema version.
    """
    path = folder / "cell.json"
    try:
        data: Any = read_json(path)
    except TraceError as error:
        raise TraceError(f"{error}; {REMEDY_OF_A_CELL}") from error
    try:
        record = CellRecord.model_validate(data)
    except ValidationError as error:
        raise TraceError(f"{path}: is damaged: {wrong_field(error)}; {REMEDY_OF_A_CELL}") from error
    if record.schema_version != SCHEMA_VERSION:
        raise TraceError(f"{path}: {another_version(record.schema_version)}")
    return record


def file_digests(folder: Path) -> dict[str, str]:
    """Return SHA-256 of the traces in a cell's folder, by file name.

    Raises:
        TraceError: one cannot be read.
    """
    return {path.name: sha256_of(path) for path in sorted(folder.glob("*.parquet"))}


def sha256_of(path: Path) -> str:
    """Return the digest of a file's bytes, in hexadecimal.

    Raises:
        TraceError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}; {REMEDY_OF_A_CELL}") from error


def check_files(folder: Path, record: CellRecord, digest_of: Callable[[Path], str] = sha256_of) -> None:
    """Check that a cell's traces are those with which it was finished; a record that lists none passes.

    Args:
        folder: the cell's.
        record: its own.
        digest_of: computes the SHA-256 of a file.

    Raises:
        TraceError: one is missing, or is another file.
    """
    for name, digest in record.files.items():
        if Path(name).name != name or not (folder / name).is_file():
            raise TraceError(
                f"{folder / name}: is missing, and was there when the cell was finished; {REMEDY_OF_A_CELL}"
            )
        if digest_of(folder / name) != digest:
            raise TraceError(
                f"{folder / name}: is not the file with which the cell was finished: changed, or another cell's; "
                f"{REMEDY_OF_A_CELL}"
            )
