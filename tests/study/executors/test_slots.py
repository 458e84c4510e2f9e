"""Which boards and CPUs each slot gets, and what a study of slots may ask for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from configs.loader import dump_study, load_study
from configs.meters import Meters
from configs.schema import Study
from server.power.nvidia.nvml import Board
from starwatt_errors import UsageError
from study.executors import slots
from study.executors.choice import executor_for
from study.executors.side_by_side import SideBySideExecutor
from study.executors.slots import Slot, meters_of_this_slot
from tests.configs.test_elsewhere import loaded
from tests.golden.nvml.world import GoldenBoards
from tests.server.power.conftest import A, B, nvml, nvml_library  # noqa: F401 -- fixtures
from tests.support.busy import PATIENCE_S
from traces.layout import RunDir

CPUS = set(range(4, 12))


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: CPUS)


def study(folder: Path, **executor: Any) -> Study:
    return loaded(folder, variants=["bf16"], remote={}, executor={"kind": "side_by_side", **executor})


def slots_of(study: Study) -> list[Slot]:
    executor = executor_for(study, RunDir(Path()))
    assert isinstance(executor, SideBySideExecutor)
    return list(executor.slots)


def boards(monkeypatch: pytest.MonkeyPatch, count: int) -> list[Board]:
    boards_here = [Board(number, f"GPU-{number}", "H") for number in range(count)]
    monkeypatch.setattr(slots, "visible_gpus", lambda: boards_here)
    return boards_here


def test_every_board_gets_a_slot_and_an_equal_share_of_neighbouring_cpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = boards(monkeypatch, 3)
    assert slots_of(study(tmp_path)) == [
        Slot("gpu0", (here[0],), (4, 5)),
        Slot("gpu1", (here[1],), (6, 7)),
        Slot("gpu2", (here[2],), (8, 9)),
    ]
    [pair] = slots_of(study(tmp_path, gpus_each=2))
    assert pair == Slot("gpu0-1", (here[0], here[1]), tuple(sorted(CPUS)))


def test_boards_and_cpus_are_taken_as_they_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = boards(monkeypatch, 4)
    named = [{"gpus": [2], "cpus": [11]}, {"gpus": ["GPU-0"], "cpus": [4, 6]}]
    assert slots_of(study(tmp_path, slots=named)) == [
        Slot("gpu2", (here[2],), (11,)),
        Slot("gpu0", (here[0],), (4, 6)),
    ]
    assert [slot.name for slot in slots_of(study(tmp_path, slots=[{"cpus": [4]}, {"cpus": [5, 6]}]))] == [
        "cpu4",
        "cpu5-6",
    ]


def test_boards_that_the_study_leaves_out_get_no_slot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boards(monkeypatch, 3)
    chosen = loaded(
        tmp_path, variants=["bf16"], remote={}, executor="side_by_side", meters={"gpus": ["GPU-1", "GPU-2"]}
    )
    assert [slot.name for slot in slots_of(chosen)] == ["gpu1", "gpu2"]


@pytest.mark.parametrize(
    ("executor", "said"),
    [
        ({}, "a slot takes 1 GPUs, and 0 are here: name executor.slots"),
        ({"slots": [{"gpus": [7]}]}, "there is no GPU 7 here"),
        ({"slots": [{"cpus": [4]}, {"cpus": [99]}]}, "CPU 99 is not among"),
        ({"slots": [{}] * 9}, "9 slots, and 8 CPUs"),
    ],
)
def test_what_this_machine_has_not_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, executor: dict[str, Any], said: str
) -> None:
    boards(monkeypatch, 0)
    with pytest.raises(UsageError, match=said):
        slots_of(study(tmp_path, **executor))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"executor": {"slots": [{"gpus": [0]}, {"gpus": [0]}]}}, "a board to two slots"),
        ({"executor": {"slots": [{"gpus": [0]}, {"cpus": [0]}]}}, "slots with boards and slots without"),
        ({"executor": {"slots": [{"cpus": [0]}, {}]}}, "the CPUs of some slots"),
        ({"executor": {"slots": [{"cpus": [0]}, {"cpus": [0]}]}}, "a CPU to two slots"),
        ({"executor": {"slots": [{"cpus": []}]}}, "gives a slot no CPU"),
        ({"executor": {"slots": []}}, "executor.slots"),
        ({"executor": {"gpus": 2}}, "no such field; known here: kind, unit"),
        ({"executor": {"neighbours": {"variant": "fp16"}}}, "executor.neighbours.variant: takes one of bf16"),
        ({"executor": {"neighbours": {"load": "single"}}}, "executor.neighbours.load: takes one of closed-4"),
        ({"engine": {"tensor_parallel": 2}}, "a slot has 1 boards"),
        ({"cpus": {"engine": [0]}}, "name CPUs in executor.slots"),
        ({"meters": {"sources": ["nvml", "rapl"]}}, "they see all slots as one"),
        ({"generator": {"kind": "locust", "workers": 1}}, "generator: takes own"),
        ({"remote": {"bf16": {"url": "http://x"}}}, "it takes no remote"),
    ],
)
def test_what_can_not_be_is_said_when_the_file_is_read(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    executor = {"kind": "side_by_side", **changes.get("executor", {})}
    with pytest.raises(UsageError) as refused:
        loaded(tmp_path, **{"variants": ["bf16"], "remote": {}, **changes, "executor": executor})
    assert said in str(refused.value)


def test_the_study_is_the_same_when_it_is_read_again(tmp_path: Path) -> None:
    first = study(tmp_path, slots=[{"gpus": [0, "GPU-1"]}, {"gpus": [2, 3]}], neighbours={"variant": "bf16"})
    (tmp_path / "again.yaml").write_text(dump_study(first))
    assert load_study(tmp_path / "again.yaml") == first


def test_a_process_on_a_slot_sees_its_board_alone_and_is_a_node_of_its_own(nvml: GoldenBoards) -> None:  # noqa: F811
    del nvml  # two boards answer, to processes that are started from here
    slot = Slot("gpu1", (Board(1, B, "Board B"),), (4,))
    ask = (
        "from server.power.nvidia.nvml import visible_gpus; from study.records.this_node import this_node; "
        "from study.executors.slots import meters_of_this_slot; from configs.schema import Meters; "
        f"meters = meters_of_this_slot(Meters(gpus=({A!r}, {B!r}))); "
        "print([(gpu.number, gpu.uuid) for gpu in visible_gpus()], this_node().name, meters.sources, meters.gpus)"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", ask],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE_S,
        ).stdout.strip()
        for environment in (None, slot.environment())
    ]
    name = os.uname().nodename
    assert said == [
        f"[(0, {A!r}), (1, {B!r})] {name} ('nvml',) None",
        f"[(1, {B!r})] {name}:gpu1 ('nvml',) None",
    ]


def test_without_boards_a_slot_is_an_estimate_of_its_own_engine_and_never_the_whole_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    boards(monkeypatch, 0)
    assert meters_of_this_slot(Meters()).sources == ("modelled",)
