"""One board as it can be set: what it allows and shows, and NVML's calls that change it. Nothing is remembered here."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from server.power.nvidia.binding import pynvml
from server.power.nvidia.choice import choose
from server.power.nvidia.library import PassingError, Place, in_words, milli
from server.process.waiting import ask_until
from starwatt_errors import MeterError

SAME_W = 1.0
"""Limits that differ by less are one: drivers round to what the board's regulator takes."""
_NO_PERMISSION, _NOT_SUPPORTED = 4, 3
_ASKED_S, _POLL_S = 5.0, 0.05
"""So long is a board asked for its limit again: real ones answer ``Unknown Error`` now and then."""
WHO_MAY = (
    "root alone may set a board: run starwatt as root (sudo -E env PATH=$PATH starwatt run …), give a container "
    "--cap-add=SYS_ADMIN, or have the administrator set the board and measure one limit a study"
)


class ControlError(MeterError):
    """A board cannot be set, or does not show what it was set to."""


class NotAllowedError(ControlError):
    """This user may not set boards."""


class NotOfferedError(ControlError):
    """The board does not offer to be set so."""


@dataclass(frozen=True)
class Shown:
    """Say what a board shows; None where it does not say."""

    managed_w: float | None
    """The limit that was asked for last."""
    enforced_w: float | None
    """The lowest of all limits, that of a BMC too."""
    sm_clock_mhz: float | None


class Board:
    """A board of this machine; NVML must be initialised, and stay so: without any client a driver forgets settings."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.uuid = place.uuid

    def __str__(self) -> str:
        return str(self._place)

    @property
    def name(self) -> str:
        """Return the name that the board gives itself."""
        return self._place.name

    @property
    def has_mig(self) -> bool:
        """Say whether it is divided into instances, which others may use."""
        return self._place.ask(pynvml.nvmlDeviceGetMigMode) in ([1, 1], [1, 0])

    @property
    def keeps_settings(self) -> bool:
        """Say whether persistence mode is on, or not known: without it settings go with the driver's last client."""
        return bool(self._place.ask(pynvml.nvmlDeviceGetPersistenceMode) != 0)

    @property
    def range_w(self) -> tuple[float, float] | None:
        """Return the least and the highest limit that it takes; None where it takes none."""
        range_mw = self._place.ask(pynvml.nvmlDeviceGetPowerManagementLimitConstraints)
        return None if range_mw is None else (range_mw[0] * 1e-3, range_mw[1] * 1e-3)

    @property
    def default_w(self) -> float | None:
        """Return the limit that it has after a restart."""
        return milli(self._place.ask(pynvml.nvmlDeviceGetPowerManagementDefaultLimit))

    @property
    def clocks_mhz(self) -> list[int]:
        """List the clocks that it can be locked at, ascending; none where it offers none."""
        memory = self._place.ask(pynvml.nvmlDeviceGetSupportedMemoryClocks) or []
        offered = (
            self._place.ask(pynvml.nvmlDeviceGetSupportedGraphicsClocks, clock) or [] for clock in memory
        )
        return sorted({clock for clocks in offered for clock in clocks})

    @property
    def limit_w(self) -> float | None:
        """Return the limit that was asked for last; None where it takes none.

        Raises:
            NvmlError: it is gone, or does not answer in time: that must not look like a board that takes no limit.
        """
        return milli(
            ask_until(
                lambda: self._place.demand(pynvml.nvmlDeviceGetPowerManagementLimit),
                PassingError,
                _ASKED_S,
                poll_s=_POLL_S,
                waiting=lambda: None,
            )
        )

    def shown(self) -> Shown:
        """Read what it shows now.

        Raises:
            NvmlError: it is gone.
        """
        ask = self._place.ask
        return Shown(
            managed_w=milli(ask(pynvml.nvmlDeviceGetPowerManagementLimit)),
            enforced_w=milli(ask(pynvml.nvmlDeviceGetEnforcedPowerLimit)),
            sm_clock_mhz=ask(pynvml.nvmlDeviceGetClockInfo, pynvml.NVML_CLOCK_SM),
        )

    def set_limit(self, power_w: float) -> None:
        """Ask for a power limit; raises as ``_set``."""
        self._set(pynvml.nvmlDeviceSetPowerManagementLimit, round(power_w * 1e3))

    def lock_clock(self, clock_mhz: int) -> None:
        """Lock the multiprocessors at a clock that the board offers; raises as ``_set``."""
        self._set(pynvml.nvmlDeviceSetGpuLockedClocks, clock_mhz, clock_mhz)

    def unlock_clock(self) -> None:
        """Take every lock of the clock away; raises as ``_set``."""
        self._set(pynvml.nvmlDeviceResetGpuLockedClocks)

    def _set(self, call: Callable[..., Any], *values: int) -> None:
        """Change something.

        Raises:
            NotAllowedError: this user may not.
            NotOfferedError: the board does not offer it.
            ControlError: it does not take the value, or is gone.
        """
        try:
            call(self._place.handle, *values)
        except pynvml.NVMLError as error:
            said = f"NVML: {self}: {getattr(call, '__name__', 'a call')}"
            if error.value == _NO_PERMISSION:
                raise NotAllowedError(f"{said}: {error}: {WHO_MAY}", cause="not allowed") from error
            if error.value == _NOT_SUPPORTED:
                raise NotOfferedError(f"{said}: this board does not offer it", cause="not offered") from error
            raise ControlError(f"{said}: {in_words(error)}") from error


def boards_called(uuids: Sequence[str]) -> list[Board]:
    """Find boards by UUID.

    Raises:
        NvmlError: one is missing, or does not answer.
    """
    return [Board(place) for place in choose(uuids).boards]


def same_limit(watts: float | None, other_w: float | None) -> bool:
    """Say whether two limits are one; a limit that is not known is like no other."""
    return watts is not None and other_w is not None and abs(watts - other_w) < SAME_W


def nearest(clock_mhz: int, offered: Sequence[int]) -> int:
    """Find the clock next to the one that is wanted, among ascending ones of which there is at least one."""
    at = bisect_left(offered, clock_mhz)
    return min(offered[max(at - 1, 0) : at + 1], key=lambda offer: abs(offer - clock_mhz))
