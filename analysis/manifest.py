"""``manifest.json`` as analysis reads it: a mapping whose known fields have the shape that they take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from starwatt_errors import TraceError
from traces.atomic import read_json
from traces.layout import RunDir


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)  # most of it is for people to read


class _Board(_Part):
    uuid: str | None = None
    power_limit_w: float | None = Field(default=None, allow_inf_nan=False)


class _Sensor(_Part):
    power_w: dict[str, Any] | None = None
    power_avg_w: dict[str, Any] | None = None
    energy_j: dict[str, Any] | None = None


class _Calibration(_Part):
    devices: dict[str, _Sensor] | None = None


class _Dataset(_Part):
    name: str
    sha256: str
    tasks: int | None = None


class _Host(_Part):
    boot_id: str | None = None


class _Load(_Part):
    load: dict[str, Any] | None = None
    prompts: dict[str, Any] | None = None


class _Shape(_Part):
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
    """The run's manifest.

    Raises:
        TraceError: it is missing, or is none.
    """
    found = read_json(run.manifest)
    try:
        _Shape.model_validate(found)
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(map(str, problem["loc"])) or "all of it"
        raise TraceError(f"{run.manifest}: is no manifest: {field}: {problem['msg']}") from error
    assert isinstance(found, dict)  # noqa: S101 -- what the model takes
    return found
