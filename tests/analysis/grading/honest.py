"""Honest programs that notice what a hostile one left for them, and how they are graded after it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.grading import grade_samples
from configs.datasets import Dataset, Task, load_dataset
from tests.analysis.grading.poisons import FORGERIES, POISONS, program
from tests.analysis.grading.programs.attack import Attack

DATASET = load_dataset("starwatt-24")
TASK = DATASET.by_id["starwatt/15"]

DEMANDING = """
import os as _os, pathlib as _pathlib, socket as _socket, threading as _threading
_done = []

def _demand():
    _done.append(1)
    _pathlib.Path("/tmp/work.bin").write_bytes(b"x" * (4 << 20))
    made = _os.open("/tmp/other.bin", _os.O_CREAT | _os.O_RDWR, 0o600)
    _os.write(made, b"x" * (1 << 20))
    assert _os.fstat(made).st_mode & 0o7777 == 0o600
    assert sorted(_os.listdir("/tmp")) == ["other.bin", "work.bin"]
    assert _os.stat("/tmp").st_mode & 0o7777 == 0o755 and not _os.listxattr("/tmp")
    threads = [_threading.Thread(target=sum, args=(range(1000),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held = bytearray(64 << 20)
    held[:: 1 << 16] = b"x" * (1 << 10)
    for one, other in [_socket.socketpair() for _ in range(12)]:
        one.close(), other.close()
    assert (_os.getpriority(_os.PRIO_PROCESS, 0), _os.sched_getscheduler(0)) == {of_the_grader}
    assert _os.sched_getaffinity(0) == {processors}
    import numpy
    assert (numpy.ones((50, 50)) @ numpy.ones((50, 50))).sum() == 125000

def {entry_point}(*given):
    if not _done:
        _demand()
    return _right(*given)
"""


def honest(number: int, task: Task = TASK) -> str:
    """The canonical solution, as often as one likes."""
    return f"{task.prompt}{task.canonical_solution}# honest program {number}\n"


def demanding(number: int) -> str:
    """It wants room, memory, threads and sockets, and its share of the processor, before it answers."""
    own = {
        "{entry_point}": TASK.entry_point,
        "{of_the_grader}": str((os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0))),
        "{processors}": str(os.sched_getaffinity(0)),
    }
    text = honest(number) + f"_right = {TASK.entry_point}\n" + DEMANDING
    for name, value in own.items():
        text = text.replace(name, value)
    return text


def grade_each(
    attacks: Sequence[Attack], folder: Path, cache: Path | None = None
) -> dict[str, list[dict[str, Any]]]:
    """The verdicts of each attack and of the three honest programs that follow it, all in the same sandbox."""
    texts = []
    for number, attack in enumerate(attacks):
        texts += [program(attack), honest(2 * number), demanding(number), honest(2 * number + 1)]
    grades = grade_texts([(TASK.task_id, text) for text in texts], folder, DATASET, cache)
    return {str(attack): grades[4 * at : 4 * at + 4] for at, attack in enumerate(attacks)}


def grade_texts(
    texts: Sequence[tuple[str, str]], folder: Path, dataset: Dataset, cache: Path | None = None
) -> list[dict[str, Any]]:
    """The verdicts of whole programs, by one worker."""
    file = folder / "samples.jsonl"
    file.write_text("".join(json.dumps({"task_id": task, "solution": text}) + "\n" for task, text in texts))
    grades: list[dict[str, Any]] = grade_samples(file, dataset, workers=1, cache_dir=cache)["grades"]
    return grades


def won(verdict: dict[str, Any]) -> bool:
    """Any success counts; and one that does not even compile has attacked nothing."""
    return verdict["base"] or verdict["plus"] or verdict["reason"] in ("passed", "syntax")


def solved(verdict: dict[str, Any]) -> bool:
    """Whether an honest program passed."""
    return (verdict["base"], verdict["plus"]) == (True, True)


def main() -> None:
    """Print the verdicts of all attacks, for whoever runs this as another user: ``honest.py FOLDER``."""
    sys.stdout.write(json.dumps(grade_each((*POISONS, *FORGERIES), Path(sys.argv[1]))))


if __name__ == "__main__":
    main()
