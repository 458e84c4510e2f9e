"""Find the meters that a machine has, and open those that a study asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing, suppress

from configs.meters import Meters
from server.power.amd.boards import AmdMeter
from server.power.amd.library import AmdError
from server.power.logs.external import ExternalMeter
from server.power.meter import Meter, Source
from server.power.modelled import ModelledMeter
from server.power.nvidia.board import NoPowerReadingError
from server.power.nvidia.choice import choose
from server.power.nvidia.exclusivity import boards_of
from server.power.nvidia.library import NoDriverError, opened
from server.power.nvidia.nvml import NvmlMeter
from server.power.rapl import RaplMeter
from starwatt_errors import MeterError


def available_sources() -> dict[Source, str]:
    """Return measuring sources that answer here, with what they found; ``modelled`` is always possible and not listed.

    Raises:
        NvmlError: there is a driver, but neither it nor a board of it answers.
    """
    return _answering(_MEASURING)


_MEASURING: dict[
    Source, tuple[Callable[[], NvmlMeter | AmdMeter | RaplMeter], tuple[type[MeterError], ...]]
] = {
    "nvml": (NvmlMeter, (NoDriverError, NoPowerReadingError)),
    "amdsmi": (AmdMeter, (AmdError,)),
    "rapl": (RaplMeter, (MeterError,)),
}
"""What opens each, and the errors that say that there is none: whoever names it is told, auto goes by what answers."""


def _answering(sources: Iterable[Source]) -> dict[Source, str]:
    answering: dict[Source, str] = {}
    for source in sources:
        open_meter, none_here = _MEASURING[source]
        with suppress(*none_here), closing(open_meter()) as meter:
            left_out = (f"left out: {words}" for words in meter.left_out)
            answering[source] = ", ".join([*meter.named, *left_out])
    return answering


def choose_sources(settings: Meters) -> list[Source]:
    """Choose sources: ``auto`` is every measuring one that answers, or ``modelled``; and the logs that are named."""
    if settings.sources != "auto":
        return list(settings.sources)
    # Boards that are not wanted may fail.
    there = _answering(["rapl"] if settings.gpus == () else _MEASURING)
    answering: list[Source] = [*there] or ["modelled"]
    return [*answering, "external"] if settings.external else answering


def on_the_engines_boards(settings: Meters, engine_pid: int | None) -> Meters:
    """Leave out the boards on which the engine is not, where NVML shows on which it is.

    Raises:
        NvmlError: a board that ``settings`` names does not answer.
    """
    if engine_pid is None or "nvml" not in choose_sources(settings):
        return settings
    try:
        with opened():
            named = [place.uuid for place in choose(settings.gpus).boards]
            seen = boards_of(engine_pid)
    except NoDriverError:
        return settings
    used = tuple(uuid for uuid in named if uuid in seen)
    return settings.model_copy(update={"gpus": used}) if used and len(used) < len(named) else settings


def boards_left_out() -> tuple[str, ...]:
    """Name the visible GPUs whose power is not read; errors as of ``available_sources``."""
    try:
        with closing(NvmlMeter()) as boards:
            return boards.left_out
    except NoDriverError:
        return ()
    except NoPowerReadingError as error:
        return error.left_out


def open_meters(settings: Meters, engine_pid: int | None) -> list[Meter]:
    """Open the meters of a study.

    Raises:
        MeterError: one that was asked for by name is missing, or ``modelled`` has no process to look at.
    """
    with ExitStack() as opened:
        meters: list[Meter] = []
        for source in choose_sources(settings):
            for meter in _open(source, settings, engine_pid):
                opened.callback(meter.close)
                meters.append(meter)
        opened.pop_all()
    return meters


def _open(source: Source, settings: Meters, engine_pid: int | None) -> list[Meter]:
    if source == "nvml":
        try:
            return [NvmlMeter(settings.gpus)]
        except NoDriverError as error:
            words = "meters: nvml: no NVIDIA driver answers here, or none of its GPUs is visible"
            raise MeterError(f"{words} ({error})") from error
    if source == "amdsmi":
        return [AmdMeter(settings.gpus)]
    if source == "rapl":
        return [RaplMeter()]
    if source == "external":
        return [ExternalMeter(log) for log in settings.external]
    if engine_pid is None:
        raise MeterError(
            "no power meter answers here, and an estimate from CPU time needs the server's process: "
            "name it with --pid"
        )
    return [ModelledMeter(engine_pid, settings.modelled.watts_per_cpu)]
