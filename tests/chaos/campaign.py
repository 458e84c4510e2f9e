"""Strikes a study again and again while it runs, and resumes it each time; what was finished must stay as it is."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.chaos.machine import PARTS, Machine
from traces.layout import RunDir

DONE = (0, 3)  # 3: a busy machine may have made a cell invalid
INTERRUPTED = (
    130,
    -signal.SIGINT,
    -signal.SIGTERM,
)  # by a signal: before the command line was there to hear it
BLOWS = {
    "runner-int": 2, "runner-term": 2, "runner-kill": 3, "engine-kill": 2, "engine-hang": 1, "sidecar-kill": 2,
    "sidecar-hang": 1, "load-kill": 2, "reaper-kill": 1, "disk-full": 1, "reboot": 1,
}  # fmt: skip
"""What can strike, and how often beside the others: what hangs takes longest to be found."""
STAGES = (None, "engine", "load", "load")
"""What is waited for before the runner, its disk or its machine is struck: else it would mostly be its own start."""
_SIGNALS = {"int": signal.SIGINT, "term": signal.SIGTERM, "kill": signal.SIGKILL, "hang": signal.SIGSTOP}


@dataclass
class Chaos:
    """One study on one machine; where it is done before the last blow, it is begun anew in another folder."""

    machine: Machine
    study: Path
    rng: random.Random
    longest_wait_s: float = 1.5
    one_of_many: bool = False
    """Whether one process of a part is struck, in place of all that there are."""
    struck: Counter[str] = field(default_factory=Counter)
    finished: list[RunDir] = field(default_factory=list)
    _before_reboot: set[str] = field(default_factory=set)
    """Temporary files that a fallen machine left: nobody could clear them up but the next runner."""
    _kept: dict[Path, tuple[int, int]] = field(default_factory=dict)

    @property
    def run(self) -> RunDir:
        """The one that is measured now."""
        return RunDir(self.machine.disk / f"run-{len(self.finished)}")

    def blows(self, count: int) -> None:
        """Strike so often, then let the last study end."""
        possible = {
            one: often for one, often in BLOWS.items() if one != "disk-full" or self.machine.has_own_disk
        }
        for blow in self.rng.choices(list(possible), list(possible.values()), k=count):
            while not self._meets(blow):
                pass
            self.struck[blow] += 1
            self._strike(blow)
            self._what_was_finished_stays()
        before = len(self.finished)
        while len(self.finished) == before:
            self._start_where_nothing_runs()
            self._ended(self.machine.end(), DONE)

    def _strike(self, blow: str) -> None:
        part, _, how = blow.partition("-")
        if part == "disk":
            self.machine.fill_the_disk()
            code = self.machine.end()
            if code == 1:
                assert "No space left" in self.machine.said, self.machine.said
                own = [line for line in self.machine.said.splitlines() if line.startswith("Traceback")]
                assert own == [], self.machine.said  # what an engine said is quoted, and stands further right
            self.machine.make_room()
            self._ended(code, (1, *DONE))
        elif part == "reboot":
            self.machine.kill_everything()
            self._before_reboot.update(self.machine.left_behind())
            self.machine.boot_anew(self.rng)
            self.machine.runner = None
        elif part == "runner":
            assert self.machine.runner is not None
            self.machine.runner.send_signal(_SIGNALS[how])
            self._ended(self.machine.end(), (*INTERRUPTED, -signal.SIGKILL, *DONE))
        else:
            there = self.machine.processes(part)
            for process in self.rng.sample(there, 1) if self.one_of_many and there else there:
                with contextlib.suppress(psutil.Error):
                    process.send_signal(_SIGNALS[how])

    def _meets(self, blow: str) -> bool:
        """Wait for a random instant of the part's life; False where it ended before."""
        part = blow.partition("-")[0]
        self._start_where_nothing_runs()
        late_s = self.rng.uniform(0, self.longest_wait_s)
        awaited = part if part in PARTS else self.rng.choice(STAGES)
        while awaited and self.machine.running and not self.machine.processes(awaited):
            time.sleep(0.05)
        deadline = time.monotonic() + late_s
        while self.machine.running and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.machine.running and (part not in PARTS or bool(self.machine.processes(part)))

    def _start_where_nothing_runs(self) -> None:
        if self.machine.running:
            return
        if self.machine.runner is not None:  # it has ended, and nobody told it to
            self._ended(self.machine.end(), DONE)
        self.machine.start("run", self.study, "--out", self.run.root, "--allow-board-control")

    def _ended(self, code: int, allowed: tuple[int, ...]) -> None:
        """The runner has: nothing of it may be left."""
        in_pythons_own_start = code == 1 and "init_import_site" in self.machine.said  # none of our code ran
        assert code in allowed or in_pythons_own_start, f"exit code {code}:\n{self.machine.said}"
        left = self.machine.left_behind()
        if code not in DONE:  # it may have ended before it came to clear up
            left = [one for one in left if one not in self._before_reboot]
        assert left == [], f"{left}\n{self.machine.said}"
        assert self.machine.boards_as_found(), self.machine.said
        self.machine.runner = None
        if code in DONE:
            self._what_was_finished_stays()
            self._kept.clear()
            self.finished.append(self.run)

    def _what_was_finished_stays(self) -> None:
        for key in self.run.finished_cells():
            stat = (self.run.cell(key) / "cell.json").stat()
            now = (stat.st_mtime_ns, stat.st_ino)
            assert self._kept.setdefault(self.run.cell(key), now) == now, f"{key} was measured again"
