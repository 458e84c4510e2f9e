"""One hostile program changes no verdict but its own, whatever it sets, leaves, forges or outruns."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.grading.cache import Cache
from analysis.grading.isolation.launch import bubblewrap
from analysis.grading.references import expected_answers
from configs.datasets import Dataset
from tests.analysis.grading.honest import DATASET, TASK, grade_each, grade_texts, honest, solved, won
from tests.analysis.grading.poisons import FORGERIES, POISONS, program
from tests.analysis.grading.programs.forgeries import TIME, VALUES
from tests.analysis.grading.programs.state import KEYS, PIPES, PROCESS_1, SHARED, TMP

SECRET = "not-for-candidates"
KINDS = {"pipes": PIPES, "process 1": PROCESS_1, "/tmp itself": TMP, "keys": KEYS, "shared": SHARED}
ALL_KINDS = {**KINDS, "values": VALUES, "time": TIME}


def check(verdicts: dict[str, list[dict[str, Any]]]) -> None:
    assert [name for name, (attack, *_) in verdicts.items() if won(attack)] == []
    suffered = [name for name, (_, *others) in verdicts.items() if not all(map(solved, others))]
    assert suffered == [], "the next one suffered"
    assert [name for name, (attack, *_) in verdicts.items() if SECRET in attack["detail"]] == []
    for attack, *_ in verdicts.values():
        assert attack["detail"].isprintable()
        attack["detail"].encode()


def test_there_are_more_than_enough_of_every_kind() -> None:
    attacks = (*POISONS, *FORGERIES)
    assert (
        len({attack.body for attack in attacks}) == len({str(attack) for attack in attacks}) == len(attacks)
    )
    assert len(attacks) >= 80
    for attack in attacks:
        compile(program(attack), attack.name, "exec")


@pytest.mark.usefixtures("sandbox")
@pytest.mark.timeout(900)
def test_attacks_of_each_kind_fail_and_the_three_honest_programs_after_each_pass(tmp_path: Path) -> None:
    check(grade_each([attack for attacks in ALL_KINDS.values() for attack in attacks[::5]], tmp_path))


@pytest.mark.long
@pytest.mark.usefixtures("sandbox")
@pytest.mark.timeout(900)
def test_each_attack_fails_and_the_three_honest_programs_after_it_pass(tmp_path: Path) -> None:
    check(grade_each((*POISONS, *FORGERIES), tmp_path))


@pytest.mark.usefixtures("sandbox")
def test_every_canonical_solution_passes_beside_them_and_again_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [(TASK.task_id, program(attack)) for attack in POISONS]
    right = [(task.task_id, honest(0, task)) for task in DATASET.tasks]
    first = grade_texts([*texts, *right], tmp_path, DATASET, tmp_path)
    assert [verdict["task_id"] for verdict in first[len(texts) :] if not solved(verdict)] == []
    monkeypatch.setenv("PATH", "")
    assert grade_texts([*texts, *right], tmp_path, DATASET, tmp_path) == first


@pytest.mark.long
@pytest.mark.usefixtures("sandbox")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", KINDS)
def test_the_164_canonical_solutions_pass_after_every_kind_and_again_from_the_cache(
    kind: str, humaneval: Dataset, answers_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(Cache(answers_cache)) as cache:
        answers = expected_answers(humaneval, humaneval.by_id, cache, bubblewrap, 2)
    # Programs of the task that takes longest come first, and those of one task in their order.
    task = max(humaneval.tasks, key=lambda task: answers[task.task_id].cpu_s)
    poisons = [(task.task_id, program(poison, f"{task.entry_point}(*given)")) for poison in KINDS[kind]]
    right = [(other.task_id, f"{honest(0, other)}# after {kind}\n") for other in humaneval.tasks]
    first = grade_texts([*poisons, *right], tmp_path, humaneval, answers_cache)
    assert [verdict["task_id"] for verdict in first[: len(poisons)] if won(verdict)] == []
    assert [verdict["task_id"] for verdict in first[len(poisons) :] if not solved(verdict)] == []
    monkeypatch.setenv("PATH", "")
    assert grade_texts([*poisons, *right], tmp_path, humaneval, answers_cache) == first


@pytest.mark.skipif(platform.machine() != "x86_64", reason="its numbers of system calls are used here")
@pytest.mark.usefixtures("sandbox")
def test_the_keys_of_the_person_who_grades_are_neither_read_nor_cleared(tmp_path: Path) -> None:
    """In a thread, whose session's keyring is its own."""
    add_key, keyctl = 248, 250
    session, join, read = -3, 1, 11
    seen: list[Any] = []

    def grade_with_a_key() -> None:
        libc = ctypes.CDLL(None)
        if libc.syscall(keyctl, join, None) < 0:
            return
        key = libc.syscall(add_key, b"user", b"starwatt-test", SECRET.encode(), len(SECRET), session)
        seen.append(grade_each(KEYS, tmp_path))
        room = ctypes.create_string_buffer(100)
        libc.syscall(keyctl, read, key, room, 100)
        seen.append(room.value)

    thread = threading.Thread(target=grade_with_a_key)
    thread.start()
    thread.join()
    if not seen:
        pytest.skip("this kernel keeps no keys")
    check(seen[0])
    assert seen[1] == SECRET.encode()


@pytest.fixture
def as_ordinary_user(tmp_path: Path) -> Iterator[Callable[[str], list[str]]]:
    """A function that runs a module of these tests as a user without rights, where an interpreter can be reached."""
    if os.geteuid() != 0:
        pytest.skip("everything here is run by an ordinary user")
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = shutil.which(name, path="/usr/bin:/usr/local/bin")
    if python is None or platform.python_version().split(".")[:2] != name.removeprefix("python").split("."):
        pytest.skip(f"no {name} that another user may run")
    uid, home = 61999, Path(f"/tmp/starwatt-test-home-{os.getpid()}")
    home.mkdir()
    os.chown(home, uid, uid)
    checkout, site = Path(__file__).parents[3], Path(np.__file__).parents[1]

    def run(module: str) -> list[str]:
        done = subprocess.run(
            [python, "-m", module, str(home)],
            env={"HOME": str(home), "PYTHONPATH": f"{checkout}:{site}", "PATH": os.defpath},
            cwd="/", user=uid, group=uid, extra_groups=[], capture_output=True, text=True, timeout=800, check=False,
        )  # fmt: skip
        if "PermissionError" in done.stderr or "No module named" in done.stderr:
            pytest.skip(f"another user may not read what is needed: {done.stderr[-200:]}")
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout.splitlines()

    yield run
    shutil.rmtree(home)


@pytest.mark.long
@pytest.mark.usefixtures("sandbox")
@pytest.mark.timeout(900)
def test_they_fail_as_well_where_an_ordinary_user_grades(
    as_ordinary_user: Callable[[str], list[str]],
) -> None:
    check(json.loads(as_ordinary_user("tests.analysis.grading.honest")[-1]))
