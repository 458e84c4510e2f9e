"""``python -m study.executors.slot_task ORDER``: measures one unit of cells on its slot, for a runner that waits.

What the two say to each other is an order, and an exit code.
"""

from __future__ import annotations

import sys
from dataclasses import astuple, dataclass
from pathlib import Path

from starwatt_errors import RunError, StarwattError
from study.executors.unit_task import measure
from study.progress.display import tell
from traces.atomic import read_json, write_json
from traces.layout import CellKey, RunDir

LOST, END_THE_STUDY = 1, 2
"""Exit codes: cells of this unit could not be measured, or no cell of any can be (a file of the study is wrong)."""


@dataclass(frozen=True)
class SlotOrder:
    """What a slot is to measure; a file, as there may be thousands of cells."""

    root: str
    unit: str
    keys: tuple[CellKey, ...]
    known_reasons: tuple[str, ...]
    locks: tuple[str, ...]
    """Files that it holds while anything of it runs: its slot's and its unit's."""

    def write(self, path: Path) -> None:
        """Whole, or not at all."""
        write_json(path, {**vars(self), "keys": [astuple(key) for key in self.keys]})

    @classmethod
    def read(cls, path: Path) -> SlotOrder:
        """Read an order; raises TraceError where it cannot be read."""
        told = read_json(path)
        return cls(
            told["root"],
            told["unit"],
            tuple(CellKey(*key) for key in told["keys"]),
            tuple(told["known_reasons"]),
            tuple(told["locks"]),
        )


def main(path: Path) -> int:
    """Measure; the exit code."""
    try:
        order = SlotOrder.read(path)
        locks = [Path(lock) for lock in order.locks]
        measure(RunDir(Path(order.root)), order.unit, set(order.keys), order.known_reasons, locks)
    except RunError as error:
        tell(f"error: {error}")
        return LOST
    except StarwattError as error:
        tell(f"error: {error}")
        return END_THE_STUDY
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
