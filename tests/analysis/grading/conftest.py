"""Tests that run candidates need bubblewrap: skipped without it, but never where CI promises it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from analysis.grading import sandbox_status
from configs.datasets import Dataset, load_dataset

#: The tasks of HumanEval+ whose canonical solutions take most of the time of all 164 together.
HEAVY = frozenset(f"HumanEval/{number}" for number in (13, 15, 36, 39, 59, 76, 83, 94, 123, 130, 139))


@pytest.fixture(scope="session")
def sandbox() -> None:
    """The sandbox works here."""
    status = sandbox_status()
    if status.ok:
        return
    message = f"{status.reason} ({status.remedy})"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def humaneval() -> Iterator[Dataset]:
    """HumanEval+, where its file is at hand."""
    given = os.environ.get("HUMANEVAL_OVERRIDE_PATH")
    file = Path(given) if given else Path(__file__).parents[4] / "shared" / "data" / "HumanEvalPlus.jsonl.gz"
    if not file.is_file():
        pytest.skip("HumanEvalPlus.jsonl.gz is not here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HUMANEVAL_OVERRIDE_PATH", str(file))
        yield load_dataset("humaneval+")


@pytest.fixture(scope="session")
def mbpp_file() -> Path:
    """MBPP+ as evalplus has it, where it is at hand."""
    given = os.environ.get("MBPP_OVERRIDE_PATH")
    file = Path(given) if given else Path(__file__).parents[4] / "shared" / "data" / "MbppPlus.jsonl.gz"
    if not file.is_file():
        pytest.skip("MbppPlus.jsonl.gz is not here")
    return file


@pytest.fixture(scope="session")
def mbpp(mbpp_file: Path) -> Iterator[Dataset]:
    """The tasks of that file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MBPP_OVERRIDE_PATH", str(mbpp_file))
        yield load_dataset("mbpp+")


@pytest.fixture(scope="session")
def answers_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for the expected outputs of all tests."""
    return tmp_path_factory.mktemp("grading-cache")


@pytest.fixture(scope="session")
def sandboxed_processes() -> Callable[[], set[int]]:
    """A function that lists the sandboxed processes that this one started, and those that nobody owns any more.

    Other tests run their own beside these.
    """

    def running() -> set[int]:
        parents, sandboxed = {}, set()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes()
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it has just ended
                continue
            if command.startswith((b"/runtime/bin/python3", b"bwrap")):
                sandboxed.add(int(folder.name))
        return {pid for pid in sandboxed if _owner(pid, parents, sandboxed) in (os.getpid(), 1)}

    return running


def _owner(pid: int, parents: dict[int, int], sandboxed: set[int]) -> int:
    """The first ancestor that is not itself sandboxed."""
    while pid in sandboxed:
        pid = parents.get(pid, 1)
    return pid
