"""What a study is going to take, before anything is started: ``starwatt run --dry-run``."""

from __future__ import annotations

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
        return [f"{counted}, {self.engine_starts} engine starts", f"about {took}, builds not counted", energy]

    def record(self) -> dict[str, Any]:
        """For scripts."""
        return asdict(self)


def forecast(
    todo: Sequence[PlannedCell], *, measured: int, given_up: int, limits_w: Sequence[float | None]
) -> Forecast:
    """From the plan alone; ``limits_w``: the power limit of each board that is going to be used."""
    starts = len(by_engine_start(list(todo)))
    seconds = sum(cell.estimated_s for cell in todo) + starts * ENGINE_START_S
    known = [limit for limit in limits_w if limit is not None]
    most_kwh = sum(known) * seconds / _JOULES_PER_KWH if known and len(known) == len(limits_w) else None
    return Forecast(len(todo), measured, given_up, starts, seconds, most_kwh)
