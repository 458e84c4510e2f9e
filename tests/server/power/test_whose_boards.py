"""The boards on which an engine is are metered, and no others, wherever its processes can be seen."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from configs.meters import Meters
from server.power.meters import choose_sources, on_the_engines_boards
from server.power.nvidia import exclusivity
from server.power.nvidia.exclusivity import Watch
from server.power.nvidia.library import opened
from server.power.nvidia.open_files import has_no_board_open
from server.power.sidecar import Sidecar
from tests.golden.nvml.world import HIDES_PROCESSES, INSTANT, LOST, BoardModel, GoldenBoards
from tests.server.power.conftest import RESTS_S, A, B, golden_boards, working
from tests.server.power.test_sidecar import wait_for
from tests.support.fronts import fronted
from traces.streams import read_trace

NVML = Meters(sources=("nvml",))


def test_boards_on_which_the_engine_is_not_are_not_metered(nvml_here: GoldenBoards) -> None:
    nvml_here.run_on(os.getpid(), board=1)
    assert on_the_engines_boards(NVML, os.getpid()).gpus == (B,)
    assert on_the_engines_boards(Meters(sources=("nvml",), gpus=(A,)), os.getpid()).gpus == (A,), (
        "it is missed"
    )
    assert on_the_engines_boards(NVML, None) == NVML


def test_where_no_list_shows_the_engine_all_visible_boards_are_metered(nvml_here: GoldenBoards) -> None:
    assert on_the_engines_boards(NVML, os.getpid()) == NVML


def test_the_engine_is_looked_for_on_boards_that_are_not_metered(
    nvml_here: GoldenBoards, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    nvml_here.run_on(os.getpid(), board=1)
    with opened():
        looks = Watch(os.getpid()).look()
    assert [(look.device, look.engine, look.metered, look.power_w) for look in looks] == [
        (A, False, True, None),
        (B, True, False, None),  # hidden: its power is somebody else's matter
    ]


def test_a_board_beside_those_that_are_metered_shows_its_power_and_costs_nothing_where_it_is_lost(
    nvml_here: GoldenBoards,
) -> None:
    with opened():
        watch = Watch(os.getpid(), [A])
        assert [look.power_w for look in watch.look()] == [None, pytest.approx(150.0)]
        nvml_here.strike("processes", LOST, board=1)
        assert [look.device for look in watch.look()] == [A]


def test_one_board_whose_list_hides_all_processes_is_metered_and_nothing_is_said_of_the_engine(
    tmp_path: Path, nvml_library: Path, monkeypatch: pytest.MonkeyPatch, busy_pid: int
) -> None:
    golden_boards(nvml_library, tmp_path, monkeypatch, [BoardModel(A, offers=INSTANT | HIDES_PROCESSES)])
    with Sidecar.start(tmp_path, NVML, engine_pid=busy_pid) as sidecar:
        assert [device["name"] for device in sidecar.devices] == [A]
        wait_for((tmp_path / "occupancy.arrows").is_file)
    assert {row["engine"] for row in read_trace(tmp_path, "occupancy").to_pylist()} == {None}


def test_the_sidecar_reads_the_engines_board_and_notes_what_the_others_draw(
    tmp_path: Path, nvml: GoldenBoards, busy_pid: int
) -> None:
    nvml.run_on(busy_pid, board=0)
    with Sidecar.start(tmp_path, NVML, engine_pid=busy_pid) as sidecar:
        assert [device["name"] for device in sidecar.devices] == [A]
    looks = read_trace(tmp_path, "occupancy").to_pylist()
    assert {(row["device"], row["engine"]) for row in looks} == {(A, True), (B, False)}
    assert {row["power_w"] for row in looks if row["device"] == B} == {150.0}


def test_no_board_at_all_can_be_asked_for(nvml_here: GoldenBoards) -> None:
    assert choose_sources(Meters())[0] == "nvml"
    assert "nvml" not in choose_sources(Meters(gpus=()))


@pytest.mark.parametrize(
    ("link", "maps", "none_open"),
    [
        ("/dev/nvidia0", "", False), ("/dev/nvidiactl", "/usr/lib/libcuda.so.580.1", False), ("/tmp/x", "", True),
    ],
)  # fmt: skip
def test_a_process_with_no_board_open_is_told_by_its_files(
    tmp_path: Path, busy_pid: int, link: str, maps: str, none_open: bool
) -> None:
    proc, dev = tmp_path / "proc", tmp_path / "dev"
    process = proc / str(busy_pid)
    for folder in (process / "fd", dev):
        folder.mkdir(parents=True)
    (process / "fd" / "3").symlink_to(link)
    (process / "maps").write_text(maps)
    assert has_no_board_open(busy_pid, proc, dev) is None, "boards are no files here"
    (dev / "nvidia0").touch()
    assert has_no_board_open(busy_pid, proc, dev) is none_open
    assert has_no_board_open(4_194_001, proc, dev) is None, "there is no such process"


@pytest.fixture
def boards_are_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with a driver: a process that has none of them open is told by its files."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    monkeypatch.setattr(exclusivity, "has_no_board_open", partial(has_no_board_open, dev=tmp_path / "dev"))


@pytest.mark.parametrize("is_parent", [False, True])
@pytest.mark.parametrize(("link", "state"), [("/tmp/x", "unknown"), ("/dev/nvidia0", "shared")])
def test_a_process_of_the_host_whose_id_is_another_ones_here_is_told_from_a_stranger_by_its_files(
    nvml_here: GoldenBoards,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    busy_pid: int,
    link: str,
    state: str,
    *,
    is_parent: bool,
) -> None:
    proc, dev = tmp_path / "proc", tmp_path / "dev"
    dev.mkdir()
    (dev / "nvidia0").touch()
    monkeypatch.setattr(exclusivity, "has_no_board_open", partial(has_no_board_open, proc=proc, dev=dev))
    with working(RESTS_S) as other, opened():
        listed = os.getpid() if is_parent else other
        for pid, opens in ((busy_pid, "/dev/nvidia0"), (listed, link)):
            (proc / str(pid) / "fd").mkdir(parents=True)
            (proc / str(pid) / "fd" / "3").symlink_to(opens)
            (proc / str(pid) / "maps").touch()
        nvml_here.run_on(listed, board=0)
        [look, _] = Watch(busy_pid).look()
    assert (look.state, look.foreign) == (state, (listed,) if state == "shared" else ())


@pytest.mark.usefixtures("boards_are_files")
def test_the_engine_behind_a_front_is_on_its_board_as_soon_as_it_is_asked(nvml_here: GoldenBoards) -> None:
    with fronted() as served, opened():
        nvml_here.run_on(served.engine, board=1)
        watch = Watch(served.fronts[0], [A])
        before = watch.look()
        with served.ask():
            wait_for(lambda: any(look.engine for look in watch.look()))
            after = watch.look()
    assert [(look.state, look.foreign, look.engine) for look in before] == [("unknown", (), False)] * 2
    assert [(look.device, look.state, look.engine) for look in after] == [
        (A, "unknown", False),
        (B, "exclusive", True),
    ]


@pytest.mark.usefixtures("boards_are_files")
def test_an_engine_on_the_cpu_that_asks_others_is_on_no_board_however_long_one_looks(
    nvml_here: GoldenBoards,
) -> None:
    """As one that reports to a collector on this machine; a stranger is on a board."""
    with fronted() as collector, fronted() as stranger, opened(), collector.ask():
        nvml_here.run_on(stranger.engine, board=0)
        watch = Watch(collector.fronts[0], [A, B])
        looks = [look for _ in range(3) for look in watch.look()]
    assert {look.engine for look in looks} == {False}
