"""On PYTHONPATH, makes a process and its children believe that this machine booted at another time.

Only what ``traces.clock.now_ns`` reads is moved, by ``TEST_CLOCK_SHIFT_NS``: waiting and time-outs go on as they are.
"""

import os
import time

_SHIFT_NS = int(os.environ.get("TEST_CLOCK_SHIFT_NS", "0"))
_true = time.clock_gettime_ns


def _shifted(clock: int) -> int:
    return _true(clock) + (_SHIFT_NS if clock == time.CLOCK_MONOTONIC else 0)


time.clock_gettime_ns = _shifted
