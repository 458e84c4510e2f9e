"""A machine for chaos: simulated boards, an engine in vLLM's place, a small disk, and the command line as a process."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.golden.nvml.world import COUNTER, INSTANT, TEMPERATURE, BoardModel, GoldenBoards
from traces.clock import boot_id

ROOT = Path(__file__).resolve().parents[2]
REBOOT = Path(__file__).with_name("reboot.py")
SERVED = ROOT / "tests" / "golden" / "served"
STARWATT = [sys.executable, "-c", "from study.cli.app import main; main()"]
PATIENCE_S = 300.0
SECRET = "a-key-that-nobody-may-find-again"
IDLE_W = 60.0
BOARDS = (
    BoardModel(
        "GPU-00000000-c0de", offers=INSTANT | COUNTER | TEMPERATURE, update_s=0.02, window_s=0.02, step_s=0.02
    ),
)
MODEL = {
    "model_type": "starcoder2", "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128, "vocab_size": 512,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096,
}  # fmt: skip
ENGINE_MODEL = {"step_s": 0.008, "per_prompt_token_s": 0.00001, "idle_w": IDLE_W}
PARTS = {
    "engine": "vllm.entrypoints",
    "sidecar": "-m server.power",
    "load": "-m loadgen",
    "reaper": "reaper.py",
    "slot": "-m study.executors.unit_task",
}
"""What stands in the command line of each part."""


@dataclass
class Machine:
    """Processes, boards and files of one chaos; ``boards`` by boot, each with the truth of its joules."""

    folder: Path
    library: Path
    disk: Path
    """Where runs lie: a small disk of its own, where this machine lets one be mounted."""
    has_own_disk: bool
    models: Sequence[BoardModel] = BOARDS
    boards: dict[str, GoldenBoards] = field(default_factory=dict)
    runner: subprocess.Popen[bytes] | None = None
    _booted: list[str] = field(default_factory=list)
    _runs: int = 0

    def __post_init__(self) -> None:
        for name in ("boots", "model", "tmp", "logs"):
            (self.folder / name).mkdir()
        (self.folder / "model" / "config.json").write_text(json.dumps(MODEL))
        (self.folder / "model" / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
        (self.folder / "model" / "tokenizer.json").write_text("{}")
        self._boot(boot_id(), 0)

    def boot_anew(self, rng: random.Random) -> bool:
        """Whether the next command finds another boot, its clock near zero again; needs root."""
        name = str(uuid.UUID(int=rng.getrandbits(128)))
        file = self.folder / "boots" / name
        file.write_text(f"{name}\n")
        ahead_s = rng.randrange(60, 3600) - int(time.monotonic())
        before = [sys.executable, "-I", "-S", str(REBOOT), str(ahead_s), str(file)]
        if subprocess.run([*before, "true"], capture_output=True, check=False, timeout=30).returncode:
            return False
        self._boot(name, ahead_s * 1_000_000_000)
        self._booted = before
        return True

    def _boot(self, name: str, ahead_ns: int) -> None:
        world = self.folder / "boots" / f"{name}.boards"
        self.boards[name] = GoldenBoards(world, self.models, IDLE_W, ahead_ns=ahead_ns)
        self._environment = {
            **os.environ,
            **self.boards[name].environment(self.library),
            "PYTHONPATH": f"{SERVED}{os.pathsep}{ROOT}",
            "GOLDEN_MODEL": json.dumps(ENGINE_MODEL),
            "TMPDIR": str(self.folder / "tmp"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "STARWATT_TEST_MARK": str(self.folder),
            "STARWATT_API_KEY": SECRET,
        }
        self._environment.pop("CUDA_VISIBLE_DEVICES", None)

    def start(self, *arguments: object) -> None:
        """``starwatt`` with these arguments; what it says goes to a log of its own."""
        self._runs += 1
        self.log = self.folder / "logs" / f"{self._runs:03d}.log"
        with self.log.open("wb") as log:
            self.runner = subprocess.Popen(
                [*self._booted, *STARWATT, *map(str, arguments)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, env=self._environment,
                start_new_session=True,
            )  # fmt: skip

    def python(self, code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        """A program on this machine, to its end."""
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            capture_output=True, text=True, check=False, timeout=PATIENCE_S, cwd=self.folder, env=self._environment,
        )  # fmt: skip

    @property
    def running(self) -> bool:
        """Whether the runner has not ended."""
        return self.runner is not None and self.runner.poll() is None

    @property
    def said(self) -> str:
        """What the last command printed."""
        return self.log.read_text(errors="replace")

    def end(self) -> int:
        """Wait for the runner's end, and for that of all it started; its exit code."""
        assert self.runner is not None
        code = self.runner.wait(timeout=PATIENCE_S)
        self.until(lambda: not self.processes(), "its processes have ended")
        return code

    def until(self, happened: Callable[[], bool], what: str) -> None:
        """Wait; too long a wait is a failure that says what was left."""
        deadline = time.monotonic() + PATIENCE_S
        while not happened():
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"not within {PATIENCE_S:g} s: {what}; {self.left_behind()}\n{self.said}"
                )
            time.sleep(0.05)

    def processes(self, part: str | None = None) -> list[psutil.Process]:
        """Everything that this machine's commands started and that still runs, or the processes of one part."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("STARWATT_TEST_MARK") != str(self.folder):
                    continue
                ended = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
                if not ended and (part is None or PARTS[part] in " ".join(process.cmdline())):
                    found.append(process)
        return found

    def kill_runner(self) -> None:
        """It alone; what it had started is ended by its reaper, and waited for."""
        assert self.runner is not None
        self.runner.kill()
        self.end()

    def kill_everything(self) -> None:
        """As when the power fails: all at once, and nobody clears up."""
        while left := self.processes():
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.send_signal(signal.SIGKILL)
        if self.runner is not None:
            self.runner.wait(timeout=PATIENCE_S)

    def fill_the_disk(self) -> None:
        """Until nothing more fits."""
        with (self.disk / "filler").open("ab", buffering=0) as file:
            for size in (1 << 16, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass

    def make_room(self) -> None:
        """Take the filler away."""
        (self.disk / "filler").unlink(missing_ok=True)

    def boards_as_found(self) -> bool:
        """Whether no board has another limit than it had at the boot, or a locked clock."""
        boards = list(self.boards.values())[-1]
        return all(boards.limit_of(at) == (model.limit_w, 0) for at, model in enumerate(self.models))

    def left_behind(self) -> list[str]:
        """Temporary files, and processes that hold a board's memory."""
        found = [str(path) for path in (self.folder / "tmp").iterdir()]
        return found + [str(one) for one in self.processes()]


@contextmanager
def machine(
    folder: Path, library: Path, disk_mib: int = 24, boards: Sequence[BoardModel] = BOARDS
) -> Iterator[Machine]:
    """One in ``folder``; nothing of it outlives the block."""
    disk = folder / "disk"
    disk.mkdir(parents=True)
    mounted = _mounted(disk, disk_mib)
    made = Machine(folder, library, disk, mounted, boards)
    try:
        yield made
    finally:
        made.kill_everything()
        if mounted:
            _unmount(disk)


def _unmount(disk: Path) -> None:
    """A process that was just killed may hold it for a moment."""
    deadline = time.monotonic() + 10
    while subprocess.run(["umount", str(disk)], check=False, timeout=30).returncode:  # noqa: S607
        assert time.monotonic() < deadline, f"{disk} stays busy"
        time.sleep(0.2)


def _mounted(disk: Path, mib: int) -> bool:
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(disk)],  # noqa: S607
            capture_output=True, check=False, timeout=30,
        )  # fmt: skip
    except FileNotFoundError:
        return False
    return done.returncode == 0
