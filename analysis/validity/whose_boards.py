"""Which of a node's boards an engine was on: those alone are in its joules, and the others idle beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.arrays import ints
from analysis.energy.integral import PowerSeries
from analysis.requests.window import Window
from analysis.validity.reasons import Check


@dataclass(frozen=True)
class Look:
    """A board at one instant."""

    device: str
    engine: bool | None  # whether the engine was on it; None: that could not be seen
    foreign: bool  # whether another's process was
    power_w: float | None  # of a board that was not metered


@dataclass(frozen=True)
class Boards:
    """Hold what was seen through a window; all empty where nothing could be."""

    looks: tuple[Look, ...] = ()

    @property
    def on(self) -> frozenset[str]:
        """Return those on which the engine was seen."""
        return frozenset(look.device for look in self.looks if look.engine)

    @property
    def off(self) -> frozenset[str]:
        """Return those on which it was not whenever that could be seen.

        Where it was seen on none, whenever they were looked at: the process of an address may turn out to be a front.
        """
        off = frozenset(look.device for look in self.looks if look.engine is False) - self.on
        return off if self.on else off - {look.device for look in self.looks if look.engine is None}


def boards_seen(occupancy: pa.Table | None, window: Window) -> Boards:
    """Return the looks at boards within a window.

    Of runs that did not note where the engine was, it was on a board that was its alone, and then not on those that had
    no process.
    """
    if occupancy is None:
        return Boards()
    t_ns, _ = ints(occupancy, "t_ns")
    rows = occupancy.filter(pa.array((t_ns >= window.start_ns) & (t_ns <= window.end_ns))).to_pylist()
    noted = any(row.get("engine") is not None for row in rows)
    alone = any(row["state"] == "exclusive" for row in rows)
    looks = []
    for row in rows:
        engine = row["engine"] if noted else _engine(row["state"], row["pids"], alone=alone)
        looks.append(Look(row["device"], engine, bool(row["foreign"]), row.get("power_w")))
    return Boards(tuple(looks))


def _engine(state: str, pids: Sequence[int], *, alone: bool) -> bool | None:
    if state == "exclusive":
        return True
    return False if alone and not pids else None


def boards_of(series: Sequence[PowerSeries]) -> frozenset[str]:
    """Return the boards among the devices that were read."""
    return frozenset(readings.device for readings in series if readings.source == "nvml")


def of_the_engine(series: Sequence[PowerSeries], boards: Boards) -> list[PowerSeries]:
    """Leave out the boards on which the engine was not, where it was seen on another that was metered."""
    off = boards.off if boards.on & boards_of(series) else frozenset()
    return [readings for readings in series if readings.source != "nvml" or readings.device not in off]


def readings_of_the_engine(
    power: pa.Table | None, series: Sequence[PowerSeries], boards: Boards
) -> pa.Table | None:
    """Leave out of a ``power`` trace the rows of boards on which the engine was not; None stays None."""
    left_out = boards_of(series) - boards_of(of_the_engine(series, boards))
    if power is None or not left_out:
        return power
    beside = pc.is_in(power.column("device"), pa.array(sorted(left_out), pa.string()))
    return power.filter(pc.invert(beside))


def metered_check(series: Sequence[PowerSeries], boards: Boards) -> Check | None:
    """Check ``engine_not_metered``: it was seen on a board that was not read, or on none that was. None: unknown."""
    metered = boards_of(series)
    if not metered or not (boards.on or boards.off):
        return None
    missed = len(boards.on - metered)
    return Check("engine_not_metered", missed > 0 or metered <= boards.off, float(missed), "boards", hi=0.0)


def idle_boards_w(
    series: Sequence[PowerSeries], boards: Boards, window: Window
) -> tuple[float | None, tuple[str, ...]]:
    """Return the mean watts of the node's visible boards that are not the engine's, and why these are doubtful.

    They are of the boards together; None where there are none, or one does not tell its power.
    """
    kept = {readings.device for readings in of_the_engine(series, boards)}
    beside: dict[str, list[float]] = {}
    for readings in series:
        if readings.device not in kept:
            inside = (readings.power_t_ns >= window.start_ns) & (readings.power_t_ns <= window.end_ns)
            beside[readings.device] = readings.power_w[inside].tolist()
    foreign = False
    for look in boards.looks:
        if look.device in kept:
            continue
        foreign |= look.foreign
        if look.power_w is not None:
            beside.setdefault(look.device, []).append(look.power_w)
    if not beside or not all(beside.values()):
        return None, ()
    return float(sum(np.mean(shown) for shown in beside.values())), ("gpu_shared",) * foreign
