"""How a run was made, as its own files say: manifest, study and plan, each read strictly or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError

from configs.board import slug_of
from configs.loader import kept_study
from configs.loads import Rate
from configs.schema import Study
from starwatt_errors import TraceError, UsageError
from traces.atomic import read_json
from traces.layout import CellKey, RunDir, model_slug, with_board
from traces.parquet import checked, load_parquet
from traces.record import Record, another_version, wrong_field
from traces.schemas import LATER_COLUMNS, PLAN, SCHEMA_VERSION

_REMEDY = "restore it from a copy"
_LONGEST_CELL_S = 10 * 365 * 86400


class _Board(Record):
    uuid: str | None = None
    power_limit_w: float | None = Field(default=None, allow_inf_nan=False)


class _Sensor(Record):
    power_w: dict[str, Any] | None = None
    power_avg_w: dict[str, Any] | None = None
    energy_j: dict[str, Any] | None = None


class _Calibration(Record):
    devices: dict[str, _Sensor] | None = None


class _Dataset(Record):
    name: str
    sha256: str | None = None
    tasks: int | None = Field(default=None, ge=0)


class _Host(Record):
    boot_id: str | None = None


class _Offered(Record):
    qps: Rate | None = Field(default=None, strict=True)


class _Load(Record):
    load: _Offered | None = None
    prompts: dict[str, Any] | None = None


class _Shape(Record):
    run_id: str | None = None
    host: _Host | None = None
    meter_host: _Host | None = None
    gpus: list[_Board] | None = None
    sensor_calibration: _Calibration | None = None
    dataset: _Dataset | None = None
    load: _Load | None = None
    sessions: list[_Host] | None = None
    nodes: dict[str, Any] | None = None


def read_manifest(run: RunDir) -> Mapping[str, Any]:
    """Read the run's manifest.

    Raises:
        TraceError: it is missing, or is none.
    """
    try:
        manifest = read_json(run.manifest)
    except TraceError as error:
        raise TraceError(f"{error}; {_REMEDY}") from error
    try:
        _Shape.model_validate(manifest)
    except ValidationError as error:
        raise TraceError(f"{run.manifest}: is no manifest: {wrong_field(error)}; {_REMEDY}") from error
    assert isinstance(manifest, dict)  # noqa: S101 -- what the model takes
    version = manifest.get("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        raise TraceError(f"{run.manifest}: {another_version(version)}")
    return manifest


def is_of_a_study(manifest: Mapping[str, Any]) -> bool:
    """Say whether a study was asked for: of a load test on its own, and of what others measured, there is none."""
    return not {"endpoint", "imported"} & manifest.keys()


def read_study(run: RunDir) -> Study:
    """Read the study of a run, as it was measured; presets that it names need not exist here any more.

    Raises:
        TraceError: it is missing, or cannot be read.
    """
    try:
        return kept_study(run.study)
    except UsageError as error:
        first = str(error).splitlines()[0].removeprefix(f"{run.study}: ")
        raise TraceError(f"{run.study}: cannot be read: {first}; {_REMEDY}") from error


def read_plan(run: RunDir) -> list[CellKey]:
    """Read every cell of ``plan.parquet``, in its order.

    Raises:
        TraceError: it is missing, cannot be read, or is no plan.
    """
    try:
        table = checked(run.plan, load_parquet(run.plan), PLAN, LATER_COLUMNS["plan"])
        rows = table.select(PLAN.names).to_pylist()
    except TraceError as error:
        raise TraceError(f"{error}; {_REMEDY}") from error
    wrong = (
        "has no cell" if not rows else next(filter(None, (_wrong_in(row, len(rows)) for row in rows)), None)
    )
    if wrong is None and len({row["position"] for row in rows}) < len(rows):
        wrong = "has a position twice"
    if wrong is not None:
        raise TraceError(f"{run.plan}: is no plan: {wrong}; {_REMEDY}")
    return [CellKey(model_slug(row["model"]), row["variant"], row["load"], row["block"]) for row in rows]


def _wrong_in(row: Mapping[str, Any], count: int) -> str | None:
    """Name what a planner never wrote; of a load test's only cell it does not say start and time."""
    start, estimated_s = row["engine_start"], row["estimated_s"]
    right = {
        **{name: bool(row[name]) for name in ("model", "variant", "load")},
        "block": row["block"] is not None and row["block"] >= 1,
        "position": row["position"] is not None and 0 <= row["position"] < count,
        "engine_start": start is None or 0 <= start <= count,
        "estimated_s": estimated_s is None or 0 <= estimated_s <= _LONGEST_CELL_S,
    }
    name = next((name for name, holds in right.items() if not holds), None)
    return None if name is None else f"a cell has {row[name]!r} as its {name}"


def cells_of(study: Study) -> frozenset[CellKey]:
    """Return every cell that a study has; probes are measured in the first block alone."""
    sides = [(model_slug(model), variant) for model in study.models for variant in study.variants]
    loads = [(load.slug, block) for load in study.loads for block in range(1, study.blocks + 1)]
    loads += [(load.slug, 1) for load, _ in study.probe_loads]
    boards = [slug_of(setting) for setting in study.board_settings]
    return frozenset(
        CellKey(*side, with_board(load, board), block)
        for side in sides
        for load, block in loads
        for board in boards
    )
