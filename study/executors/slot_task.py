"""``python -m study.executors.slot_task ORDER``: measures one unit of cells on its slot, for a runner that waits."""

from __future__ import annotations

import sys
from pathlib import Path

from starwatt_errors import RunError, StarwattError
from study.executors.slot_protocol import END_THE_STUDY, LOST, SlotOrder
from study.executors.unit_task import measure
from study.progress.display import tell
from traces.layout import RunDir


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
