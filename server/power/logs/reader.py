"""Define what readers of all logs have in common: a line's reading, the study's words, errors that name the line."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from configs.files.values import figure, is_missing, seconds
from configs.meters import ExternalLog
from starwatt_errors import MeterError

_UNITS = {"w": 1.0, "watts": 1.0, "watt": 1.0, "kw": 1e3, "uw": 1e-6, "\u00b5w": 1e-6, "\u03bcw": 1e-6}
_CASED_UNITS = {"mW": 1e-3, "MW": 1e6}


@dataclass(frozen=True)
class Line:
    """One reading of the log; without any figure it says that the meter had none."""

    at_s: float | None  # seconds since 1970, by the log's clock; None: the log has no times, it is now
    power_w: float | None
    energy_j: float | None = None


class Reader(ABC):
    """Read lines in their order: what all forms have in common, the study's words and errors that name the line."""

    def __init__(self, log: ExternalLog, *, known: bool = True) -> None:
        self.log = log
        self._zone = log.zone or ("local" if known else None)
        self._devices: set[str] = set()
        self._comma_separated = False

    @property
    def tells_devices(self) -> bool:
        """Say whether its lines name their devices, once one has been read."""
        return self.log.select is not None or bool(self._devices)

    def line(self, text: str, number: int) -> Line | None:
        """Read a line; None of a line that holds none.

        Raises:
            MeterError: it is not understood.
        """
        try:
            return self.parsed(text)
        except ValueError as error:
            raise MeterError(f"{self.log.file}, line {number}: {error}: {text.strip()[:80]!r}") from error

    @abstractmethod
    def parsed(self, text: str) -> Line | None:
        """Read a line of this form; ValueError says what of it is not understood."""

    def seconds(self, text: str, unit_s: float | None = None) -> float:
        """Return a time by the log's clock, a count of ``unit_s`` where its column says so; ValueError: it is none."""
        try:
            return seconds(text, self._zone, unit_s)
        except ValueError as error:
            raise ValueError(f"its time is not understood ({error})") from error

    def figure(self, field: str, *, unit_w: float | None) -> float | None:
        """Read a figure in watts, or in the counter's unit; None where the log says that there is none.

        Args:
            field: the text of the figure, with a unit or without.
            unit_w: watts of one of the column's unit; None: it is a counter's.

        Raises:
            ValueError: it is no figure, or below zero, or has a unit that is not known.
        """
        if is_missing(field):
            return None
        value, unit = figure(field, comma_separated=self._comma_separated)
        known = _CASED_UNITS.get(unit, _UNITS.get(unit.lower()))
        if not unit:
            own_w = 1.0 if unit_w is None else unit_w
        elif known is not None and unit_w is not None:
            own_w = known
        else:
            raise ValueError(f"{field.strip()!r} has a unit that is not understood")
        if value < 0:
            raise ValueError(f"{field!r} can be neither watts nor joules")
        return value * own_w

    def is_ours(self, device: str, by: str = "") -> bool:
        """Say whether a line is of the device that is read: the one that the study selects, or the log's only one.

        ``by`` names the column that says so.
        """
        if self.log.select is not None:
            return device == self.log.select
        self._devices.add(device)
        if len(self._devices) > 1:
            raise MeterError(
                f"{self.log.file}: is of several devices ({', '.join(sorted(self._devices))}){by}: say under "
                "meters.external which one is read (select)"
            )
        return True
