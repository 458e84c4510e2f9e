"""Hostile programs win nothing, change nothing, leave nothing behind, and do not harm the next candidate.

All are graded in one go, as completions are: each is followed by an honest program in the same sandbox.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from analysis.grading import Limits, grade_samples
from analysis.grading.isolation.runtime import FIRST_UID, prepare_runtime
from configs.datasets import load_dataset
from tests.analysis.grading.attacks import ATTACKS
from tests.analysis.grading.programs.attack import Attack
from tests.support.busy import PATIENCE_S

DATASET = load_dataset("starwatt-24")
TASK = DATASET.by_id["starwatt/15"]
QUICK = Limits(wall_factor=1.0)  # a sleeper may sleep for as long as a worker may work
SECRET = "not-for-candidates"
KINDS = (
    "network", "files", "environment", "/proc", "bombs", "output", "loops", "signals", "ptrace", "symlinks",
    "comparing", "inspection", "patching", "outliving", "descriptors", "pickles", "leaving", "rank",
)  # fmt: skip


@dataclass(frozen=True)
class Onslaught:
    """What came of all attacks."""

    hostile: dict[Attack, dict[str, Any]]
    honest: dict[Attack, dict[str, Any]]
    reached: list[str]  # what came in over the network
    written: list[str]  # names in the folder that everybody may write to
    changed: list[str]  # what differs on this machine
    left: set[int]  # processes that are still there


def honest(number: int) -> str:
    return f"{TASK.prompt}{TASK.canonical_solution}# honest program {number}\n"


def machine() -> dict[str, object]:
    """What a candidate must not change, as far as it can be listed in a moment and nobody else changes it."""
    runtime = prepare_runtime()
    return {
        "the runtime": sorted((str(path), path.lstat().st_mtime_ns) for path in runtime.rglob("*")),
        "/usr/lib": Path("/usr/lib/written").exists(),
        "System V objects": {name: objects_of_the_sandbox(name) for name in ("shm", "msg", "sem")},
        "these tests": sorted((p.name, p.stat().st_mtime_ns) for p in Path(__file__).parent.glob("*.py")),
    }


def objects_of_the_sandbox(kind: str) -> list[str]:
    """Objects outside that belong to the uid that bubblewrap is started by when root grades."""
    head, *rows = Path("/proc/sysvipc", kind).read_text().splitlines()
    column = head.split().index("uid")
    return [row for row in rows if row.split()[column] == str(FIRST_UID)]


@pytest.fixture(scope="module")
def onslaught(
    sandbox: None, sandboxed_processes: Callable[[], set[int]], tmp_path_factory: pytest.TempPathFactory
) -> Onslaught:
    folder = tmp_path_factory.mktemp("attacks")
    scratch = folder / "scratch"
    scratch.mkdir()
    scratch.chmod(0o777)
    before, running = machine(), sandboxed_processes()
    os.environ["STARWATT_TEST_SECRET"] = SECRET
    abstract = f"starwatt-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(f"\0{abstract}")
        unix.listen()
        places = {
            "PORT": tcp.getsockname()[1],
            "ABSTRACT": abstract,
            "SCRATCH": scratch,
            "CHECKOUT": Path(__file__).parent,
        }
        sources = []
        for number, attack in enumerate(ATTACKS):
            sources += [attack.program(**places), honest(number)]
        grades = graded(sources, folder, QUICK)
        for at, verdict in enumerate(grades):
            if at % 2 and verdict["reason"] == "timeout":  # alone, in a new sandbox: the machine was too busy
                (grades[at],) = graded([sources[at]], folder, Limits())
        reached = [name for name, server in (("tcp", tcp), ("unix", unix)) if was_reached(server)]
    del os.environ["STARWATT_TEST_SECRET"]
    deadline = time.monotonic() + PATIENCE_S
    while (left := sandboxed_processes() - running) and time.monotonic() < deadline:
        time.sleep(0.05)
    after = machine()
    return Onslaught(
        hostile=dict(zip(ATTACKS, grades[::2], strict=True)),
        honest=dict(zip(ATTACKS, grades[1::2], strict=True)),
        reached=reached,
        written=[path.name for path in scratch.iterdir()],
        changed=[name for name in before if before[name] != after[name]],
        left=left,
    )


def graded(sources: list[str], folder: Path, limits: Limits) -> list[dict[str, Any]]:
    file = folder / "samples.jsonl"
    file.write_text("\n".join(json.dumps({"task_id": TASK.task_id, "solution": text}) for text in sources))
    grades: list[dict[str, Any]] = grade_samples(file, DATASET, workers=1, limits=limits)["grades"]
    return grades


def was_reached(server: socket.socket) -> bool:
    server.setblocking(False)
    try:
        server.accept()
    except BlockingIOError:
        return False
    return True


def test_there_is_an_attack_of_every_kind_and_no_two_are_the_same() -> None:
    assert {attack.kind for attack in ATTACKS} == set(KINDS)
    assert (
        len({attack.body for attack in ATTACKS}) == len({(a.kind, a.name) for a in ATTACKS}) == len(ATTACKS)
    )
    assert len(ATTACKS) >= 40


@pytest.mark.timeout(900)
def test_every_attack_fails_changes_nothing_and_leaves_nothing_behind(onslaught: Onslaught) -> None:
    """One test, so that the attacks run once however many processes the tests run in."""
    assert [str(attack) for attack in ATTACKS if won(onslaught.hostile[attack])] == []
    assert [str(attack) for attack in ATTACKS if not solved(onslaught.honest[attack])] == [], (
        "the next one suffered"
    )
    told = [attack for attack in ATTACKS if SECRET in onslaught.hostile[attack]["detail"]]
    assert told == [], "the environment was read"
    assert (onslaught.reached, onslaught.written) == ([], []), "something got out"
    assert (onslaught.changed, onslaught.left) == ([], set()), "something is left"


def won(verdict: dict[str, Any]) -> bool:
    """Any success counts; and one that does not even compile has attacked nothing."""
    return verdict["base"] or verdict["plus"] or verdict["reason"] in ("passed", "syntax")


def solved(verdict: dict[str, Any]) -> bool:
    return (verdict["base"], verdict["plus"]) == (True, True)


def test_attacks_are_programs_that_only_the_sandbox_stops() -> None:
    """None of them is stopped by a slip of its own: all compile, and none needs the names that evalplus takes away."""
    for attack in ATTACKS:
        compile(attack.program(PORT=1, ABSTRACT="a", SCRATCH="/tmp", CHECKOUT="/tmp"), attack.name, "exec")
