"""``python -m study.executors.slot_task ORDER``: measures one unit of cells on its slot, for a runner that waits.

What the two say to each other is an order, which is a file of what ``measure`` takes (there may be thousands of cells),
and an exit code.
"""

from __future__ import annotations

import sys
from pathlib import Path

from starwatt_errors import RunError, StarwattError
from study.executors.unit_task import measure
from study.progress.display import tell
from traces.atomic import read_json

LOST, END_THE_STUDY = 1, 2
"""Exit codes: cells of this unit could not be measured, or no cell of any can be (a file of the study is wrong)."""


def main(path: Path) -> int:
    """Measure what the order at ``path`` says; return the exit code."""
    try:
        measure(**read_json(path))
    except RunError as error:
        tell(f"error: {error}")
        return LOST
    except StarwattError as error:
        tell(f"error: {error}")
        return END_THE_STUDY
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
