"""Let boards cool down before an engine starts, to where they were before the others: a hot board draws more.

Temperature and power are read while no engine of ours runs, and compared with the coolest that each board was at an
earlier engine start of this run on this boot (``cooldown/NODE.json``). That is the state from which all variants start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from configs.meters import Meters
from configs.phases import Cooldown
from server.power.meters import choose_sources
from server.power.nvidia.nvml import NvmlMeter
from starwatt_errors import TraceError
from study.records.this_node import this_node
from traces.atomic import read_json, write_json
from traces.cell import BoardState, CoolStart
from traces.clock import boot_id
from traces.layout import RunDir

States = Mapping[str, BoardState]
"""By a board's UUID."""
_POLL_S = 1.0


@dataclass(frozen=True)
class Clock:
    """Tell how time passes; a test has its own."""

    now_s: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def cool_down(
    run: RunDir, meters: Meters, wanted: Cooldown, status: Callable[[str], None]
) -> CoolStart | None:
    """Wait until the boards are as cool as they have been; None where no board says how warm it is.

    Raises:
        MeterError: a board was lost.
    """
    if "nvml" not in choose_sources(meters):
        return None
    with closing(NvmlMeter(meters.gpus)) as meter:
        start = wait_until_cool(lambda: states(meter), coolest(run), wanted, status)
    _keep(run, start)
    return start


def wait_until_cool(
    read: Callable[[], States],
    known: States,
    wanted: Cooldown,
    status: Callable[[str], None],
    clock: Clock | None = None,
) -> CoolStart:
    """Poll ``read`` once a second until no board is above ``known`` by more than it may, or the time is up."""
    clock = clock or Clock()
    begun_s = clock.now_s()
    while True:
        boards = read()
        above = [words for uuid, state in boards.items() if (words := _above(state, known.get(uuid), wanted))]
        waited_s = clock.now_s() - begun_s
        if not above or waited_s >= wanted.timeout_s:
            return CoolStart(waited_s=waited_s, cooled=not above, boards=dict(boards))
        status(f"cooling down: {'; '.join(above)}")
        clock.sleep(_POLL_S)


def states(meter: NvmlMeter) -> States:
    """Read what every board says now."""
    temperature: dict[str, float] = {}
    power: dict[str, float] = {}
    for reading in meter.read(slow=True):
        if reading.temperature_c is not None:
            temperature[reading.device.name] = reading.temperature_c
        if reading.shown_w is not None:
            power[reading.device.name] = reading.shown_w
    return {
        device.name: BoardState(temperature_c=temperature.get(device.name), power_w=power.get(device.name))
        for device in meter.devices
    }


def coolest(run: RunDir) -> States:
    """Return what is known of this boot; nothing before the first engine start, or where a kill damaged the file."""
    try:
        kept = read_json(_file(run))
        if kept["boot_id"] != boot_id():
            return {}
        return {uuid: BoardState.model_validate(state) for uuid, state in kept["coolest"].items()}
    except (TraceError, KeyError, TypeError, AttributeError, ValueError):
        return {}


def _file(run: RunDir) -> Path:
    """Name this node's file: nodes write at the same time."""
    return run.cooldown / f"{this_node().name}.json"


def _keep(run: RunDir, start: CoolStart) -> None:
    known = coolest(run)
    lowest = {
        uuid: BoardState(
            temperature_c=_lower(state.temperature_c, before.temperature_c),
            power_w=_lower(state.power_w, before.power_w),
        )
        for uuid, state in start.boards.items()
        for before in [known.get(uuid, BoardState())]
    }
    if lowest != known:
        boards = {uuid: state.model_dump() for uuid, state in {**known, **lowest}.items()}
        write_json(_file(run), {"boot_id": boot_id(), "coolest": boards})


def _lower(*values: float | None) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _above(state: BoardState, known: BoardState | None, wanted: Cooldown) -> str | None:
    """Return what is too high, in words."""
    if known is None:
        return None
    for value, least, within, unit in (
        (state.temperature_c, known.temperature_c, wanted.within_c, "°C"),
        (state.power_w, known.power_w, wanted.within_w, "W"),
    ):
        if value is not None and least is not None and value > least + within:
            return f"{value:.0f} {unit}, wanted {least + within:.0f}"
    return None
