"""One clock for all files of a machine."""

from __future__ import annotations

import subprocess
import sys
import time

from traces.clock import ClockPair, boot_id, now_ns


def test_the_clock_is_the_same_in_another_process() -> None:
    before_ns = now_ns()
    code = "from traces.clock import now_ns, boot_id; print(now_ns(), boot_id())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    there_ns, there_boot = done.stdout.split()
    assert before_ns < int(there_ns) < now_ns()
    assert there_boot == boot_id()


def test_a_pair_names_one_instant_on_both_clocks() -> None:
    before = now_ns(), time.time_ns()
    pair = ClockPair.now()
    after = now_ns(), time.time_ns()
    assert before[0] <= pair.monotonic_ns <= after[0]
    assert before[1] <= pair.realtime_ns <= after[1]
