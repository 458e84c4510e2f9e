"""NVML itself: opened, asked, and its errors in words that name the board and say what helps.

Its error codes are of four kinds. There is no driver. A board does not offer something. A call failed that may not
fail the next time (real boards answer ``Unknown Error`` now and then). The board, or all of NVML, is gone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from server.power.nvidia.binding import pynvml
from starwatt_errors import MeterError

_Answer = TypeVar("_Answer")

# nvmlReturn_t, which no version of NVML changes
SUCCESS = 0
(_UNINITIALIZED, _INVALID_ARGUMENT, _NOT_SUPPORTED, _NO_PERMISSION, _INSUFFICIENT_POWER, _DRIVER_NOT_LOADED, _IRQ_ISSUE,
 _LIBRARY_NOT_FOUND, _FUNCTION_NOT_FOUND, _CORRUPTED_INFOROM, _GPU_IS_LOST, _RESET_REQUIRED, _VERSION_MISMATCH,
 _ARGUMENT_VERSION_MISMATCH, _DEPRECATED, _NOT_READY, _GPU_NOT_FOUND, _UNKNOWN,
 ) = (1, 2, 3, 4, 8, 9, 11, 12, 13, 14, 15, 16, 18, 25, 26, 27, 28, 999)  # fmt: skip

POWER_INSTANT, POWER_AVERAGE = 186, 185
"""NVML_FI_DEV_POWER_INSTANT, NVML_FI_DEV_POWER_AVERAGE."""
_NOT_AVAILABLE = ((1 << 32) - 1, (1 << 64) - 1)
"""NVML_VALUE_NOT_AVAILABLE, as an unsigned int and as an unsigned long long."""
_NO_DRIVER = frozenset({_DRIVER_NOT_LOADED, _LIBRARY_NOT_FOUND, _GPU_NOT_FOUND})
_NOT_OFFERED = frozenset(
    {_INVALID_ARGUMENT, _NOT_SUPPORTED, _NO_PERMISSION, _FUNCTION_NOT_FOUND, _ARGUMENT_VERSION_MISMATCH, _DEPRECATED}
)  # fmt: skip
_GONE = _NO_DRIVER | {_UNINITIALIZED, _GPU_IS_LOST, _RESET_REQUIRED, _VERSION_MISMATCH}

_RESTART = "restart the machine"
_REMEDIES = {
    _VERSION_MISMATCH: "the kernel's driver and NVML's library are of two versions, as after an update: "
    f"{_RESTART} (or the container)",
    _NO_PERMISSION: "this user may not open /dev/nvidia*: join the group that may, or give the container its GPUs",
    _INSUFFICIENT_POWER: "its power cables are not plugged in",
    _IRQ_ISSUE: "the kernel has trouble with its interrupts: dmesg says which",
    _CORRUPTED_INFOROM: f"its own store of settings is damaged: {_RESTART}, or have it replaced",
    _GPU_IS_LOST: f"it has fallen off the bus (dmesg says why): {_RESTART}",
    _RESET_REQUIRED: f"nvidia-smi --gpu-reset (root), or {_RESTART}",
    _NOT_READY: "confidential computing holds it back: nvidia-smi conf-compute -srs 1 (root)",
    _UNKNOWN: "does nvidia-smi work? A container that has lost its devices must be started anew",
}


class NvmlError(MeterError):
    """NVML or a board of it fails."""


class NoDriverError(NvmlError):
    """There is no NVIDIA driver here, or it has no board."""


class PassingError(NvmlError):
    """One call failed; the next one may not."""


@contextmanager
def opened() -> Iterator[None]:
    """Open NVML for the block.

    Raises:
        NoDriverError: there is none.
        NvmlError: it is there and does not answer.
    """
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        kind = NoDriverError if error.value in _NO_DRIVER else NvmlError
        raise kind(f"NVML: {in_words(error)}") from error
    try:
        yield
    except pynvml.NVMLError as error:
        raise NvmlError(f"NVML: {in_words(error)}") from error
    finally:
        # A driver that has gone in the meantime is no error any more.
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def asked(question: Callable[[], _Answer], without: _Answer) -> _Answer:
    """Open NVML for one question; ``without`` is the answer where there is no driver.

    Raises:
        NvmlError: there is a driver, and it does not answer.
    """
    try:
        with opened():
            return question()
    except NoDriverError:
        return without


def in_words(error: Any) -> str:
    """Return an NVML error, and what helps against it."""
    return "; ".join(filter(None, (str(error), _REMEDIES.get(error.value))))


@dataclass(frozen=True)
class Place:
    """A board as NVML counts it; without a handle it does not answer, and ``problem`` says how."""

    number: int
    """Its number as CUDA counts by PCI bus, hidden ones too; boards of others are not counted."""
    handle: Any = None
    uuid: str = ""
    problem: str | None = None
    of_others: bool = False
    """Whether this process may not open it, as boards of other jobs on one node."""

    def __str__(self) -> str:
        return f"GPU {self.number} ({self.uuid})" if self.uuid else f"GPU {self.number}"

    @property
    def name(self) -> str:
        """Return the name that the board gives itself."""
        return text(self.ask(pynvml.nvmlDeviceGetName) or "unnamed GPU")

    def ask(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Return what NVML answers; None where the board does not offer it, or not this time.

        Raises:
            NvmlError: the board is gone: that must not look like one that lacks a sensor.
        """
        try:
            return self.demand(call, *arguments)
        except PassingError:
            return None

    def demand(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Return what NVML answers; None where the board does not offer it; raises PassingError where it failed now."""
        try:
            return call(self.handle, *arguments)
        except pynvml.NVMLError as error:
            if error.value in _NOT_OFFERED:
                return None
            raise self._failed(call, error) from error
        except UnicodeDecodeError as error:
            raise PassingError(f"NVML: {self}: {_name(call)}: {error}") from error

    def watts(self, fields: list[Any]) -> list[float | None]:
        """Read power by field values: None for those that the board does not offer; errors as of ``demand``.

        PassingError only where none of them has a value.
        """
        values = self.demand(pynvml.nvmlDeviceGetFieldValues, fields)
        if values is None:
            return [None] * len(fields)
        shown = [milli(value.value.uiVal) if value.nvmlReturn == SUCCESS else None for value in values]
        errors = [value.nvmlReturn for value in values if value.nvmlReturn not in {SUCCESS, *_NOT_OFFERED}]
        for code in errors:
            if code in _GONE or shown == [None] * len(fields):
                raise self._failed(pynvml.nvmlDeviceGetFieldValues, pynvml.NVMLError(code))
        return shown

    def _failed(self, call: Callable[..., Any], error: Any) -> NvmlError:
        kind = NvmlError if error.value in _GONE else PassingError
        return kind(f"NVML: {self}: {_name(call)}: {in_words(error)}")


def places() -> list[Place]:
    """Return every board that NVML counts; one that does not answer takes no other with it.

    Boards that this process may not open are left out beside those that it may: a scheduler's control groups keep them
    for other jobs, and CUDA counts without them.

    Raises:
        NVMLError: NVML does not even count them.
    """
    every = [_place(number) for number in range(pynvml.nvmlDeviceGetCount())]
    ours = [place for place in every if not place.of_others]
    return [replace(place, number=number) for number, place in enumerate(ours)] or every


def _place(number: int) -> Place:
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(number)
        return Place(number, handle, text(pynvml.nvmlDeviceGetUUID(handle)))
    except pynvml.NVMLError as error:
        return Place(number, problem=in_words(error), of_others=error.value == _NO_PERMISSION)


def milli(value: int | None) -> float | None:
    """Turn thousandths, such as milliwatts, into the unit; None where there are none, or NVML says not available."""
    return None if value is None or value in _NOT_AVAILABLE else value * 1e-3


def text(value: str | bytes) -> str:
    """Decode NVML's strings, whichever way this pynvml hands them out."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _name(call: Callable[..., Any]) -> str:
    return getattr(call, "__name__", "a call")
