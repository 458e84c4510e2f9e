"""The slots of a machine: boards, CPUs and a name each, so that engines can be measured beside each other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from configs.executor import SideBySide
from configs.meters import Meters
from server.power.meters import available_sources
from server.power.nvidia.nvml import Board, visible_gpus
from starwatt_errors import UsageError
from study.records.this_node import VARIABLE


@dataclass(frozen=True)
class Slot:
    """Name a place where one engine at a time is measured."""

    name: str
    """``gpu0``, ``gpu2-3`` or ``cpu0``."""
    boards: tuple[Board, ...]
    cpus: tuple[int, ...]

    def environment(self) -> dict[str, str]:
        """Return this process's environment, with nothing but the slot's boards to be seen."""
        return {
            **os.environ,
            VARIABLE: self.name,
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # NVML's own order
            "CUDA_VISIBLE_DEVICES": ",".join(str(board.number) for board in self.boards),
        }


def slots_of(executor: SideBySide, gpus: Sequence[str] | None) -> list[Slot]:
    """Return the slots of a study on this machine, with the boards in ``gpus``; None is all of them.

    Raises:
        UsageError: a board or a CPU is not here, or there are fewer CPUs than slots.
        MeterError: a driver is there, but a GPU fails.
    """
    boards = _boards(executor, gpus)
    cpus = _cpus(executor, len(boards))
    return [Slot(_name(gpus, numbers), gpus, numbers) for gpus, numbers in zip(boards, cpus, strict=True)]


def _boards(executor: SideBySide, chosen: Sequence[str] | None) -> list[tuple[Board, ...]]:
    here = [board for board in visible_gpus() if chosen is None or board.uuid in chosen]
    if executor.slots is None:
        each = executor.gpus_each
        if len(here) < each:
            raise UsageError(
                f"executor: side_by_side: a slot takes {each} GPUs, and {len(here)} are here: name executor.slots, "
                "for example by their cpus alone"
            )
        return [tuple(here[first : first + each]) for first in range(0, len(here) - each + 1, each)]
    return [tuple(_board(gpu, here) for gpu in slot.gpus) for slot in executor.slots]


def _board(named: int | str, here: Sequence[Board]) -> Board:
    fitting = [board for board in here if named in (board.number, str(board.number), board.uuid)]
    if not fitting:
        known = ", ".join(f"{board.number} ({board.uuid})" for board in here) or "none"
        raise UsageError(f"executor.slots: there is no GPU {named} here, or it is hidden; there is {known}")
    return fitting[0]


def _cpus(executor: SideBySide, count: int) -> list[tuple[int, ...]]:
    """Give each slot neighbouring CPUs: they share caches, and not with another slot."""
    usable = sorted(os.sched_getaffinity(0))
    named = [slot.cpus for slot in executor.slots or () if slot.cpus is not None]
    if named:
        stray = sorted({cpu for numbers in named for cpu in numbers} - set(usable))
        if stray:
            raise UsageError(
                f"executor.slots: CPU {stray[0]} is not among those that this process may use: "
                f"{', '.join(map(str, usable))}"
            )
        return named
    if len(usable) < count:
        raise UsageError(
            f"executor: side_by_side: {count} slots, and {len(usable)} CPUs for them: name fewer slots"
        )
    share = len(usable) // count
    return [tuple(usable[first : first + share]) for first in range(0, share * count, share)]


def _name(boards: Sequence[Board], cpus: Sequence[int]) -> str:
    kind, numbers = ("gpu", [board.number for board in boards]) if boards else ("cpu", list(cpus))
    return f"{kind}{'-'.join(map(str, sorted({numbers[0], numbers[-1]})))}"


def meters_of_this_slot(settings: Meters) -> Meters:
    """Return the meters that see this slot alone: its boards, or the CPU time of its own engine."""
    sources = settings.sources
    if sources == "auto":
        on_boards = settings.gpus != () and "nvml" in available_sources()
        sources = ("nvml",) if on_boards else ("modelled",)
    return settings.model_copy(update={"sources": sources, "gpus": None})
