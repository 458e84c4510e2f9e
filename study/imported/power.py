"""Read power logs that others wrote, as the readings of an imported cell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from configs.files.problems import words_of
from configs.meters import ExternalLog
from server.power.logs.reader import Line
from server.power.logs.whole import WholeLog, read_whole
from starwatt_errors import MeterError, UsageError
from traces.cell import sha256_of
from traces.imported import ImportedFile, ImportedLog

_BOARD_FORMS = ("nvidia-smi", "nvidia-dmon", "dcgmi-dmon")
_INSTANT_S, _AVERAGE_S = 0.025, 1.0
"""What a board's reading averages over at least, and what one that calls itself an average does (arXiv 2312.02741)."""
_AVERAGES_S = {"power.draw.instant": _INSTANT_S, "power.draw.average": _AVERAGE_S, "PWRINST": _INSTANT_S}
_AVERAGED_FROM_S = 0.5  # what averages over longer is the board's average in power.parquet
_FIELD = re.compile(r",(?=[a-z_]+=)")
_MARGIN_NS = 60_000_000_000  # of readings before and after a load, which are kept
_NUMBERS = ("averages_s", "clock_offset_s", "clock_uncertainty_s")


@dataclass(frozen=True)
class PowerLog:
    """One device of one log, read whole."""

    settings: ExternalLog
    whole: WholeLog
    averages_s: float | None
    """Seconds that a reading averages over; None: since the one before."""

    @property
    def source(self) -> str:
        """Return ``nvml`` for a board's own sensor, whose window and gain are as under NVML, whoever asked it."""
        return "nvml" if self.whole.form in _BOARD_FORMS else "external"

    def clock(self, offset_s: float, uncertainty_s: float) -> tuple[float, float]:
        """Say how far its clock is ahead of the requests', and how well that is known: its own words, else these."""
        settings, given = self.settings, self.settings.model_fields_set
        return (
            settings.clock_offset_s if "clock_offset_s" in given else offset_s,
            settings.clock_uncertainty_s if "clock_uncertainty_s" in given else uncertainty_s,
        )

    def described(self, offset_s: float, uncertainty_s: float) -> ImportedLog:
        """Return what a cell keeps of it."""
        return ImportedLog(
            file=ImportedFile(name=self.settings.file.name, sha256=sha256_of(self.settings.file)),
            form=self.whole.form,
            device=self.settings.device,
            source=self.source,
            averages_s=self.averages_s,
            clock_offset_s=offset_s,
            clock_uncertainty_s=uncertainty_s,
        )

    def rows(self, offset_s: float, start_ns: int, end_ns: int) -> list[dict[str, Any]]:
        """Return rows of ``power.parquet`` by the requests' clock, from a minute before to a minute after."""
        kept: list[tuple[int, Line]] = []
        for line in self.whole.lines:
            t_ns = round(((line.at_s or 0.0) - offset_s) * 1e9)
            if start_ns - _MARGIN_NS <= t_ns <= end_ns + _MARGIN_NS:
                kept.append((t_ns, line))
        first_j = next((line.energy_j for _, line in kept if line.energy_j is not None), 0.0)
        averaged = self.source == "nvml" and (self.averages_s or 0.0) >= _AVERAGED_FROM_S
        return [
            {
                "t_ns": t_ns,
                "device": self.settings.device,
                "boundary": self.settings.boundary,
                "source": self.source,
                "power_avg_w" if averaged else "power_w": line.power_w,
                "energy_j": None if line.energy_j is None else line.energy_j - first_j,
            }
            for t_ns, line in kept
        ]

    @property
    def span_s(self) -> tuple[float, float]:
        """Return its first and its last reading, by its own clock."""
        times = [line.at_s for line in self.whole.lines if line.at_s is not None]
        return min(times), max(times)


def read_logs(given: Sequence[str], zone: str | None) -> list[PowerLog]:
    """Read the logs of ``--power``, each ``FILE[,field=value...]`` with fields as in ``meters: {external: [...]}``.

    Raises:
        UsageError: a field is wrong, two logs have one name, or what a reading averages over is not known.
        MeterError: a log cannot be read.
    """
    logs = [_read(log, zone) for log in given]
    names = [log.settings.device for log in logs]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"--power: two logs are called {name}: give each a name (--power FILE,device=NAME)"
            )
    return logs


def _read(given: str, zone: str | None) -> PowerLog:
    name, *parts = _FIELD.split(given)
    fields: dict[str, Any] = {"file": Path(name), **({} if zone is None else {"zone": zone})}
    for part in parts:
        key, _, value = part.partition("=")
        fields[key] = _number(given, key, value) if key in _NUMBERS else value
    settings = _settings(given, fields)
    try:
        whole = read_whole(settings)
    except MeterError as error:
        raise MeterError(
            f"{error}; fields of meters.external are given as --power FILE,field=value"
        ) from error
    if whole.form in _BOARD_FORMS:
        settings = settings.model_copy(
            update={
                "boundary": fields.get("boundary", "gpu"),
                "device": fields.get("device", settings.select or "gpu"),
            }
        )
    return PowerLog(settings, whole, _averages_s(settings, whole))


def _number(given: str, key: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise UsageError(f"--power {given}: {key} takes a number of seconds (given: {value!r})") from None


def _settings(given: str, fields: dict[str, Any]) -> ExternalLog:
    if not fields["file"].is_file():
        raise UsageError(f"--power {given}: there is no file {fields['file']} (FILE[,field=value...])")
    try:
        return ExternalLog.model_validate(fields)
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors(include_url=False)[0]["loc"])
        known = ", ".join(name for name in ExternalLog.model_fields if name != "file")
        raise UsageError(f"--power {given}: {field}: {words_of(error)} (fields: {known})") from error


def _averages_s(settings: ExternalLog, whole: WholeLog) -> float | None:
    if settings.averages_s is not None or whole.form not in _BOARD_FORMS:
        return settings.averages_s
    column = (whole.power_name or "").partition(" ")[0]
    if column in _AVERAGES_S:
        return _AVERAGES_S[column]
    raise UsageError(
        f"--power {settings.file}: {whole.power_name} is the mean of the last second on most boards, and of 25 ms on "
        f"A100 and before: say which (--power {settings.file},averages_s=1 or averages_s=0.025), or log "
        "power.draw.instant"
    )
