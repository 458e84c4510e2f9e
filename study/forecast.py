"""What a study is going to take, before anything is started: ``starwatt run --dry-run``."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from study.plan import ENGINE_START_S, PlannedCell, by_engine_start

_JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True)
class Forecast:
    """Of the cells that are not measured yet."""

    cells: int
    measured: int
    given_up: int
    engine_starts: int
    seconds: float
    at_once: int
    """Engines that measure side by side, at most."""
    most_kwh: float | None
    """What the boards draw in that time at their power limits; None where no limit is known."""

    def lines(self) -> list[str]:
        """For people."""
        minutes = max(round(self.seconds / 60), 1)
        took = f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
        energy = (
            "no board says how much it may draw, so energy can't be bounded beforehand"
            if self.most_kwh is None
            else f"at most {self.most_kwh:.3g} kWh on the boards (their power limits x time)"
        )
        done = [f"{self.measured} measured already"] if self.measured else []
        done += [f"{self.given_up} given up after failing"] if self.given_up else []
        counted = f"{self.cells} cells to measure" + (f" ({', '.join(done)})" if done else "")
        beside = f" with {self.at_once} at a time" if self.at_once > 1 else ""
        return [
            f"{counted}, {self.engine_starts} engine starts",
            f"about {took}{beside}, builds not counted",
            energy,
        ]

    def record(self) -> dict[str, Any]:
        """For scripts."""
        return asdict(self)


def forecast(
    units: Sequence[Sequence[PlannedCell]],
    *,
    measured: int,
    given_up: int,
    limits_w: Sequence[float | None],
    at_once: int = 1,
    after: Sequence[PlannedCell] = (),
) -> Forecast:
    """From the plan alone.

    Args:
        units: what is left; cells of a unit follow each other, ``at_once`` units are measured side by side.
        measured: cells that are there.
        given_up: cells that are left out.
        limits_w: the power limit of each board that is going to be used.
        at_once: places for units, 1 or more.
        after: cells that are measured again when all is done, one by one, each on an engine start of its own.
    """
    free_at_s = [0.0] * max(min(at_once, len(units)), 1)
    for unit in units:
        heapq.heapreplace(free_at_s, free_at_s[0] + _seconds(unit))
    seconds = max(free_at_s) + sum(cell.estimated_s + ENGINE_START_S for cell in after)
    known = [limit for limit in limits_w if limit is not None]
    most_kwh = sum(known) * seconds / _JOULES_PER_KWH if known and len(known) == len(limits_w) else None
    cells = sum(map(len, units))
    starts = sum(len(by_engine_start(list(unit))) for unit in units)
    return Forecast(cells, measured, given_up, starts, seconds, len(free_at_s), most_kwh)


def _seconds(unit: Sequence[PlannedCell]) -> float:
    return sum(cell.estimated_s for cell in unit) + len(by_engine_start(list(unit))) * ENGINE_START_S
