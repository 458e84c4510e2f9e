"""Say which meters are read: the part ``meters`` of a study file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from configs.files.strict import FilePath, Line, Many, StrictModel, inconsistent
from configs.files.values import checked_zone

_CENTURY_S = 3.2e9  # a clock that nobody has set begins in 1970 or in 2000


class Modelled(StrictModel):
    """An estimate for machines without any power meter: CPU time of the engine's processes x watts."""

    watts_per_cpu: float = Field(default=10.0, gt=0, le=1000, description="Watts of one fully used CPU")


class GainSettings(StrictModel):
    """Correct one board's power readings by a comparison with a trusted meter: a factor and an offset."""

    factor: float = Field(
        gt=0.5, lt=2, description="Of true watts = factor x shown watts + offset_w (starwatt meter --against)"
    )
    uncertainty: float = Field(
        default=0.0, ge=0, lt=0.5, description="Half-width of what is not known of it, relative (0.01: 1 %)"
    )
    offset_w: float = Field(default=0.0, gt=-1000, lt=1000, description="Watts")
    offset_uncertainty_w: float = Field(
        default=0.0, ge=0, lt=1000, description="Half-width of what is not known of the offset"
    )


class ExternalLog(StrictModel):
    """The log of a wall meter or a BMC, which another program writes while we measure."""

    file: FilePath = Field(description="The log; relative to where starwatt was started")
    format: Literal[
        "auto",
        "csv",
        "ptdaemon",
        "nvidia-smi",
        "nvidia-dmon",
        "dcgmi-dmon",
        "ipmitool-dcmi",
        "ipmi-dcmi",
        "ear",
        "influxdb",
        "home-assistant",
    ] = Field(
        default="auto",
        description="Its form; auto: what its first lines look like, otherwise CSV with a header",
    )
    select: Line | None = Field(
        default=None,
        description="Of a log of several devices the one that is read (a GPU's uuid or index, a node, an entity)",
    )
    zone: Annotated[Line | None, AfterValidator(checked_zone)] = Field(
        default=None,
        description="Of times that name none: local, or Europe/Berlin; null: local in known forms, none in CSV",
    )
    power_unit: Literal["auto", "W", "kW", "mW", "MW"] = Field(
        default="auto",
        description="Of power_column; auto: what the header or the value says, otherwise watts",
    )
    device: Line = Field(default="wall", description="What the tables call it")
    boundary: Literal["gpu", "cpu", "dram", "host"] = Field(
        default="host", description="What it measures: host is the whole machine, at the wall"
    )
    time_column: Line = Field(default="time", description="Seconds since 1970, or ISO 8601 with its zone")
    power_column: Line | None = Field(default="power_w", description="Watts; null where the log has none")
    energy_column: Line | None = Field(default=None, description="A counter that only rises, if it has one")
    energy_unit: Literal["J", "Wh", "kWh"] = Field(default="J", description="Of that counter")
    averages_s: float | None = Field(
        default=None,
        gt=0,
        le=3600,
        description="Seconds that a reading averages over; null: since the line before",
    )
    clock_offset_s: float = Field(
        default=0.0,
        ge=-_CENTURY_S,
        le=_CENTURY_S,
        description="The log's clock minus this machine's calendar",
    )
    clock_uncertainty_s: float = Field(
        default=0.1, ge=0, le=86400, description="Half-width of what is not known of that offset"
    )

    @model_validator(mode="after")
    def _measures(self) -> ExternalLog:
        if self.power_column is None and self.energy_column is None:
            raise inconsistent("external", "takes a power_column, an energy_column or both")
        return self


class Meters(StrictModel):
    """Say which meters are read, and how often."""

    sources: Literal["auto"] | Many[Literal["nvml", "amdsmi", "rapl", "modelled", "external"]] = Field(
        default="auto",
        description="auto: nvml, amdsmi and rapl where they answer, otherwise modelled; and external logs named",
    )
    external: Many[ExternalLog] = Field(
        default=(), description="Logs of wall meters and BMCs, read beside the others"
    )
    gpus: Many[Line] | None = Field(
        default=None,
        description="UUIDs of the GPUs from which engines get theirs, and that are read; null: those that"
        " CUDA_VISIBLE_DEVICES leaves; []: none",
    )
    sample_hz: float = Field(default=20.0, ge=0.1, le=100, description="Readings a second")
    counter_hz: float = Field(
        default=1.0,
        ge=0.01,
        le=10,
        description="Readings of a GPU's energy counter a second: it goes stale when read often",
    )
    modelled: Modelled = Field(default=Modelled(), description="The constants of the estimate")
    gain: dict[Line, GainSettings] = Field(
        default={}, description="By device (a GPU's UUID): its calibration against a trusted meter"
    )
    require_exclusive: bool = Field(
        default=False, description="Stop when another's process is on a GPU; otherwise its cell is invalid"
    )

    @model_validator(mode="after")
    def _some_board_is_read(self) -> Meters:
        if self.gpus == () and "nvml" in self.sources:
            raise inconsistent("gpus", "names no GPU where sources has nvml")
        return self

    @model_validator(mode="after")
    def _logs_are_named(self) -> Meters:
        if self.sources != "auto" and ("external" in self.sources) != bool(self.external):
            raise inconsistent("sources", "has external exactly where meters.external names a log")
        devices = [log.device for log in self.external]
        if len(set(devices)) != len(devices):
            raise inconsistent("external", "gives two logs the same device name")
        return self
