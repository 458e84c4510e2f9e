"""A place where the pages' commands can be typed: a checkout, a machine with a board, and an engine that stands in.

What stands in is vLLM (``tests/golden/served``: the same command line, key and endpoint, but no weights), the
checkpoints in store and hub cache (so that none is built or fetched), the board behind NVML, and HumanEval+ (the
bundled tasks in its format). Everything else is the real thing.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests.docs.pages import ROOT
from tests.golden.nvml.world import COUNTER, INSTANT, TEMPERATURE, BoardModel, GoldenBoards
from tests.support.busy import PATIENCE_S

SERVED = ROOT / "tests" / "golden" / "served"
TASKS = ROOT / "configs" / "datasets" / "starwatt-24.jsonl"
STEP = {"step_s": 0.004, "per_request_s": 0.0001, "per_prompt_token_s": 0.000001, "idle_w": 60.0}
BOARD = BoardModel(
    "GPU-00000000-d0c5", offers=INSTANT | COUNTER | TEMPERATURE, update_s=0.02, window_s=0.02, step_s=0.02
)


@dataclass
class Place:
    """A folder that looks like the checkout, and what is running from it."""

    folder: Path
    environment: dict[str, str]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _count: int = 0

    def type(self, command: str, **more: str) -> tuple[int, str]:
        """A command to its end: its exit code, and what it printed. ``export`` holds for what follows."""
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            self.environment[name] = value
            return 0, ""
        log = self._log()
        with log.open("wb") as output:
            process = self._started(command, output, more)
            try:
                code = process.wait(timeout=PATIENCE_S)
            finally:
                _kill(process)
        return code, log.read_text(errors="replace")

    def leave_running(self, kind: str, command: str, until: str) -> None:
        """A command that ends with Ctrl-C alone, once it has printed ``until``; one of its kind at a time."""
        if kind in self.running:
            self.interrupt(kind)
        log = self._log()
        with log.open("wb") as output:
            process = self.running[kind] = self._started(command, output, {})
        deadline = time.monotonic() + PATIENCE_S
        while until not in log.read_text(errors="replace"):
            assert process.poll() is None, f"{command}\nended:\n{log.read_text(errors='replace')}"
            assert time.monotonic() < deadline, f"{command}\nnever said {until}"
            time.sleep(0.05)

    def interrupt(self, kind: str) -> None:
        """Ctrl-C."""
        process = self.running.pop(kind)
        os.killpg(process.pid, signal.SIGINT)
        try:
            assert process.wait(timeout=PATIENCE_S) == 130, kind
        finally:
            _kill(process)

    def _started(self, command: str, log: IO[bytes], more: Mapping[str, str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["bash", "-c", command],  # noqa: S607
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
            env={**self.environment, **more}, start_new_session=True,
        )  # fmt: skip

    def _log(self) -> Path:
        self._count += 1
        return self.folder.parent / f"{self._count:02d}.log"


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def place(folder: Path, library: Path, cache: Path) -> Iterator[Place]:
    """One in ``folder``; nothing that was typed there outlives the block.

    ``library`` is the golden NVML; ``cache`` the user's, where others may have been before.
    """
    checkout = folder / "starwatt"
    (folder / "bin").mkdir(parents=True)
    checkout.mkdir()
    starwatt = folder / "bin" / "starwatt"
    starwatt.write_text(f"#!{sys.executable}\nfrom study.cli import main\nmain()\n")
    starwatt.chmod(0o755)
    shutil.copytree(ROOT / "configs" / "studies", checkout / "configs" / "studies")
    for name in ("loadgen", "deploy", "Makefile"):
        (checkout / name).symlink_to(ROOT / name)
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    boards = GoldenBoards(folder / "boards", [BOARD], idle_w=60.0)
    made = Place(checkout, _environment(folder, boards, library, cache))
    try:
        yield made
    finally:
        for process in made.running.values():
            _kill(process)


def _environment(folder: Path, boards: GoldenBoards, library: Path, cache: Path) -> dict[str, str]:
    (folder / "home").mkdir()
    environment = {
        **os.environ,
        **boards.environment(library),
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{SERVED}{os.pathsep}{ROOT}",
        "GOLDEN_MODEL": json.dumps(STEP),
        "HOME": str(folder / "home"),
        "STARWATT_STORE": str(folder / "store"),
        "XDG_CACHE_HOME": str(cache),
        "HF_HOME": str(folder),
        "HF_HUB_OFFLINE": "1",
    }
    for name in (
        "CUDA_VISIBLE_DEVICES",
        "STARWATT_API_KEY",
        "STARWATT_METER_TOKEN",
        "HUMANEVAL_OVERRIDE_PATH",
    ):
        environment.pop(name, None)
    return environment


def keep_checkpoints(there: Place, models: Mapping[str, list[str]]) -> None:
    """By model, the variants whose checkpoints are there as if they had been built or fetched."""
    command = [sys.executable, "-m", "tests.docs.checkpoints", json.dumps(models)]
    subprocess.run(command, check=True, timeout=PATIENCE_S, cwd=there.folder, env=there.environment)


def fetch_humaneval(cache: Path) -> None:
    """As if evalplus had fetched it: but the bundled tasks, in HumanEval+'s format."""
    (cache / "evalplus").mkdir()
    shutil.copy(TASKS, cache / "evalplus" / "HumanEvalPlus-v0.1.10.jsonl")


def bring_humaneval(path: Path) -> None:
    """The same, packed as its release is."""
    path.write_bytes(gzip.compress(TASKS.read_bytes()))
