"""The boards behind ``golden_nvml.c``: made here, driven by a simulated engine, and the truth of what they used."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.busy import PATIENCE_S
from traces.clock import now_ns

LIBRARY = "libnvidia-ml.so.1"
BOARDS, SEGMENTS, FAULTS, PROCESSES = 8, 65536, 8, 16
(INSTANT, AVERAGE, COUNTER, COUNTER_OF_SENSOR, TEMPERATURE, MODULE, MIG, HIDES_PROCESSES, POWERLESS, FIXED_LIMIT,
 FIXED_CLOCK, REFUSES_LOCKS) = (1 << bit for bit in range(12))  # fmt: skip
CALLS = {
    "any": 0, "init": 1, "fields": 2, "power": 3, "energy": 4, "clocks": 5, "processes": 6, "handle": 7, "count": 8,
    "each_field": 9, "name": 10, "set": 11, "limit": 12,
}  # fmt: skip
NOT_SUPPORTED, NO_PERMISSION, UNKNOWN, LOST, RESET_REQUIRED = 3, 4, 999, 15, 16
INSUFFICIENT_POWER, DRIVER_NOT_LOADED, TIMEOUT, IRQ_ISSUE, FUNCTION_NOT_FOUND, MISMATCH = 8, 9, 10, 11, 13, 18
NOT_READY = 27


_COPIED = (
    "update_s", "window_s", "average_s", "lag_s", "step_s", "gain", "module_w", "limit_w", "throttle", "least_w",
    "most_w", "bmc_w", "slow_s",
)  # fmt: skip


class _Fault(ctypes.Structure):
    _fields_ = [
        ("from_ns", ctypes.c_int64), ("until_ns", ctypes.c_int64), ("call", ctypes.c_int32),
        ("board", ctypes.c_int32), ("code", ctypes.c_int32), ("after_calls", ctypes.c_int32),
        ("until_calls", ctypes.c_int32),
        ("sleep_s", ctypes.c_double),
    ]  # fmt: skip


class _Board(ctypes.Structure):
    _fields_ = [
        ("uuid", ctypes.c_char * 96), ("name", ctypes.c_char * 64), ("flags", ctypes.c_int32),
        ("processes", ctypes.c_int32), ("pids", ctypes.c_uint32 * PROCESSES),
        ("update_s", ctypes.c_double), ("window_s", ctypes.c_double), ("average_s", ctypes.c_double),
        ("lag_s", ctypes.c_double), ("step_s", ctypes.c_double), ("gain", ctypes.c_double),
        ("module_w", ctypes.c_double), ("phase_ns", ctypes.c_int64), ("counter_phase_ns", ctypes.c_int64),
        ("counter_zero_ns", ctypes.c_int64), ("throttle", ctypes.c_uint64), ("limit_w", ctypes.c_double),
        ("temperature_c", ctypes.c_double), ("sm_mhz", ctypes.c_double), ("mem_mhz", ctypes.c_double),
        ("utilization", ctypes.c_double), ("default_w", ctypes.c_double), ("least_w", ctypes.c_double),
        ("most_w", ctypes.c_double), ("bmc_w", ctypes.c_double), ("before_w", ctypes.c_double),
        ("slow_s", ctypes.c_double), ("set_ns", ctypes.c_int64), ("locked_mhz", ctypes.c_int32),
        ("sets", ctypes.c_int32), ("count", ctypes.c_int64), ("t_ns", ctypes.c_int64 * SEGMENTS),
        ("power_w", ctypes.c_double * SEGMENTS), ("used_j", ctypes.c_double * SEGMENTS),
    ]  # fmt: skip


class _World(ctypes.Structure):
    _fields_ = [
        ("boards", ctypes.c_int64), ("faults", _Fault * FAULTS), ("calls", ctypes.c_int64 * FAULTS),
        ("board", _Board * BOARDS),
    ]  # fmt: skip


@dataclass(frozen=True)
class BoardModel:
    """One simulated board and its sensor."""

    uuid: str
    name: str = "Golden board"
    offers: int = INSTANT | AVERAGE | COUNTER | TEMPERATURE
    update_s: float = 0.1
    window_s: float = 0.025
    average_s: float = 1.0
    lag_s: float = 0.0
    step_s: float = 0.1
    gain: float = 1.0
    phase_s: float = 0.013
    counter_phase_s: float = 0.041
    module_w: float = 0.0
    limit_w: float = 700.0
    throttle: int = 0
    least_w: float = 100.0
    most_w: float = 700.0
    bmc_w: float = 0.0
    slow_s: float = 0.0


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def compile_library(folder: Path) -> Path:
    """Build the library in ``folder``; needs a C compiler."""
    source = Path(__file__).with_name("golden_nvml.c")
    library = folder / LIBRARY
    command = ["cc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library), str(source), "-lm"]
    subprocess.run(command, check=True, timeout=PATIENCE_S)
    return library


class GoldenBoards:
    """Boards in a file that the library maps; ``draw`` is the simulated engine's hand on them."""

    def __init__(
        self, path: Path, models: Sequence[BoardModel], idle_w: float = 70.0, *, ahead_ns: int = 0
    ) -> None:
        """``ahead_ns``: how far the clock of those who read them is ahead of this process's."""
        with path.open("wb") as file:
            file.truncate(ctypes.sizeof(_World))
        self._open(path)
        start_ns = now_ns() + ahead_ns - 20_000_000_000  # it has been idle for a while
        for index, model in enumerate(models):
            board = self._world.board[index]
            board.uuid, board.name = model.uuid.encode(), model.name.encode()
            board.flags = model.offers
            for name in _COPIED:
                setattr(board, name, getattr(model, name))
            board.default_w = board.before_w = model.limit_w
            board.phase_ns = start_ns + round(model.phase_s * 1e9)
            board.counter_phase_ns = start_ns + round(model.counter_phase_s * 1e9)
            board.temperature_c, board.sm_mhz, board.mem_mhz, board.utilization = 61, 1980, 2619, 0.87
            board.t_ns[0], board.power_w[0], board.used_j[0], board.count = start_ns, idle_w, 0.0, 1
        self._world.boards = len(models)

    @classmethod
    def of_others(cls, path: Path) -> GoldenBoards:
        """Boards that another process has made, to draw from."""
        boards = cls.__new__(cls)
        boards._open(path)
        return boards

    def _open(self, path: Path) -> None:
        self.path = path
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), ctypes.sizeof(_World))
        self._world = _World.from_buffer(self._map)

    def index(self, board: str | None) -> int:
        """The number of a board, by number or UUID; the first for None."""
        if board is None:
            return 0
        if board.isdigit():
            return int(board)
        return [self._world.board[number].uuid.decode() for number in range(self._world.boards)].index(board)

    def draw(self, power_w: float, at_ns: int | None = None, *, board: int = 0) -> None:
        """From ``at_ns`` (now, or later: a future that is already planned) on the board draws ``power_w``."""
        own = self._world.board[board]
        count = own.count
        before_ns = own.t_ns[count - 1]
        t_ns = max(now_ns() if at_ns is None else at_ns, before_ns)
        own.t_ns[count], own.power_w[count] = t_ns, power_w
        own.used_j[count] = own.used_j[count - 1] + own.power_w[count - 1] * (t_ns - before_ns) * 1e-9
        own.count = count + 1

    def true_j(self, start_ns: int, end_ns: int, *, board: int = 0) -> float:
        """What the board really used; summed over its segments, one by one."""
        own = self._world.board[board]
        total = 0.0
        for index in range(own.count):
            until = own.t_ns[index + 1] if index + 1 < own.count else end_ns
            overlap = min(until, end_ns) - max(own.t_ns[index], start_ns)
            total += own.power_w[index] * max(overlap, 0) * 1e-9
        return total

    def most_w(self, start_ns: int, end_ns: int, *, board: int = 0) -> float:
        """The highest power that it drew in this stretch."""
        own = self._world.board[board]
        until = [*own.t_ns[1 : own.count], end_ns]
        return max(
            float(own.power_w[i]) for i in range(own.count) if own.t_ns[i] < end_ns and until[i] > start_ns
        )

    def strike(
        self, call: str, code: int = 0, *, board: int = -1, after_calls: int = 0, sleep_s: float = 0.0,
        from_ns: int = 0, until_ns: int = 0, until_calls: int = 0,
    ) -> None:  # fmt: skip
        """Calls of this kind fail with an NVML code, or take long; ``board`` -1 is any, ``until_calls`` 0 for ever."""
        at = next(
            index for index, fault in enumerate(self._world.faults) if not fault.code and not fault.sleep_s
        )
        fault = self._world.faults[at]
        fault.call, fault.board, fault.after_calls, fault.sleep_s = CALLS[call], board, after_calls, sleep_s
        fault.from_ns, fault.until_ns, fault.until_calls, fault.code = from_ns, until_ns, until_calls, code

    def mend(self) -> None:
        """Nothing fails any more."""
        for fault in self._world.faults:
            fault.code, fault.sleep_s = 0, 0.0

    def reset_driver(self, *, board: int = 0) -> None:
        """The driver starts anew: its counter begins at zero."""
        self._world.board[board].counter_zero_ns = now_ns()

    def run_on(self, *pids: int, board: int = 0) -> None:
        """These processes, and no others, are on the board."""
        own = self._world.board[board]
        own.processes = 0
        for index, pid in enumerate(pids):
            own.pids[index] = pid
        own.processes = len(pids)

    def join(self, *pids: int, board: int = 0) -> None:
        """These are on the board too, beside those of its processes that have not ended."""
        own = self._world.board[board]
        with self.path.open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            there = [pid for pid in own.pids[: own.processes] if _runs(pid)]
            self.run_on(*there, *pids, board=board)

    def heat(self, temperature_c: float, *, board: int = 0) -> None:
        """The board is as warm as that from now on."""
        self._world.board[board].temperature_c = temperature_c

    def limit_of(self, board: int = 0) -> tuple[float, int]:
        """The power limit that it enforces now, watts, and the clock that it is locked at, MHz (0: not locked)."""
        own = self._world.board[board]
        limit_w = min(own.limit_w, own.bmc_w) if own.bmc_w > 0 else own.limit_w
        return float(limit_w), int(own.locked_mhz)

    def top_mhz(self, board: int = 0) -> float:
        """Its highest clock."""
        return float(self._world.board[board].sm_mhz)

    def set_limit(self, limit_w: float, *, board: int = 0) -> None:
        """As an administrator does, beside whatever else sets it."""
        own = self._world.board[board]
        own.before_w = own.limit_w = limit_w

    def answer_late(self, slow_s: float, *, board: int = 0) -> None:
        """A limit that is set is shown so much later."""
        self._world.board[board].slow_s = slow_s

    def cap(self, limit_w: float, *, board: int = 0) -> None:
        """As a BMC does, whatever the driver is asked for; 0: no more."""
        self._world.board[board].bmc_w = limit_w

    def offer(self, flags: int, *, board: int = 0) -> None:
        """The board has these properties too."""
        self._world.board[board].flags |= flags

    def sets(self, board: int = 0) -> int:
        """How often anything was set through the driver."""
        return int(self._world.board[board].sets)

    def throttle(self, mask: int, *, board: int = 0) -> None:
        """The board says from now on why its clocks are low."""
        self._world.board[board].throttle = mask

    def environment(self, library: Path) -> dict[str, str]:
        """What a process needs to find these boards; the loader's path is set for it alone."""
        paths = [str(library.parent), os.environ.get("LD_LIBRARY_PATH", "")]
        return {"GOLDEN_NVML": str(self.path), "LD_LIBRARY_PATH": ":".join(filter(None, paths))}
