"""NVIDIA GPUs, read through NVML (``pynvml`` of the package nvidia-ml-py)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from server.power.meter import BoardsMeter
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


class NvmlMeter(BoardsMeter):
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
            boards, left_out = _open_boards(gpus)
            super().__init__(boards, nvml.pop_all(), left_out)
        self.numbers = [board.number for board in boards]
        """The boards as CUDA counts them by PCI bus."""


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
