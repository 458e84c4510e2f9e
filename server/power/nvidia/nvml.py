"""NVIDIA GPUs, read through NVML (``pynvml`` of the package nvidia-ml-py)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from server.power.meter import Device, Reading
from server.power.nvidia.board import BoardMeter, NoPowerReadingError
from server.power.nvidia.choice import choose
from server.power.nvidia.library import NoDriverError, NvmlError, asked, opened


@dataclass(frozen=True)
class Board:
    """One GPU of this machine."""

    number: int
    """Its number as CUDA counts by PCI bus, hidden ones too."""
    uuid: str
    name: str


def visible_gpus() -> list[Board]:
    """Return the GPUs that a program started here would see; empty where there is no driver.

    Raises:
        NvmlError: there is a driver, but it does not answer.
    """
    return asked(
        lambda: [Board(place.number, place.uuid, place.name) for place in choose().boards], without=[]
    )


class NvmlMeter:
    """Instantaneous and average power, throttle reasons; more slowly energy counter, temperature, clocks, utilisation.

    The counter is read at a rate of its own: a call costs 2 to 7 ms, and read too often it goes stale. Boards that are
    visible and tell no power are left out, with the reason; those that ``gpus`` names are missed.

    Raises:
        NoDriverError: no driver answers, or no board is visible.
        NoPowerReadingError: none of the boards tells its power.
        NvmlError: NVML fails, or a GPU that was asked for is missing.
    """

    def __init__(self, gpus: Sequence[str] | None = None) -> None:
        with ExitStack() as nvml:
            nvml.enter_context(opened())
            self._boards, self.left_out = _open_boards(gpus)
            self._nvml = nvml.pop_all()

    @property
    def devices(self) -> list[Device]:
        """Every board that is read, named by its UUID."""
        return [board.device for board in self._boards]

    @property
    def numbers(self) -> list[int]:
        """The same as CUDA counts them by PCI bus."""
        return [board.number for board in self._boards]

    @property
    def named(self) -> list[str]:
        """The same for people."""
        return [board.name for board in self._boards]

    def read(self, *, slow: bool) -> list[Reading]:
        """Take a reading of every GPU; with ``slow`` another of each, with the energy counter at its own time.

        Raises:
            NvmlError: a GPU was lost or reset, or has shown no power for some seconds.
        """
        readings = [board.read() for board in self._boards]
        if slow:
            readings += [board.read_slow() for board in self._boards]
        return readings

    def close(self) -> None:
        """Shut NVML down."""
        self._nvml.close()


def _open_boards(gpus: Sequence[str] | None) -> tuple[list[BoardMeter], tuple[str, ...]]:
    """Return those that tell their power, and in words those that are left out."""
    choice = choose(gpus)
    boards, left_out, failed = [], list(choice.left_out), bool(choice.left_out)
    for place in choice.boards:
        try:
            boards.append(BoardMeter(place))
        except NoPowerReadingError as error:
            left_out += error.left_out
        except NvmlError as error:
            left_out.append(str(error).removeprefix("NVML: "))
            failed = True
    if left_out and (gpus is not None or not boards):
        raise NvmlError(f"NVML: {'; '.join(left_out)}") if failed else NoPowerReadingError(left_out)
    if not boards:
        raise NoDriverError(
            "NVML: no GPU is visible here (CUDA_VISIBLE_DEVICES hides them, or there is none)"
        )
    return boards, tuple(left_out)
