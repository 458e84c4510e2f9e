"""What real boards and drivers do wrong: through the real pynvml, on a library whose boards fail as they are told."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from configs.meters import Meters
from server.engines import hardware
from server.power.calibration.calibrate import calibrate
from server.power.meter import Reading
from server.power.meters import available_sources, boards_left_out, choose_sources, open_meters
from server.power.nvidia import board
from server.power.nvidia.board import NoPowerReadingError
from server.power.nvidia.exclusivity import Watch
from server.power.nvidia.inventory import gpu_inventory, silent_gpus
from server.power.nvidia.library import NoDriverError, NvmlError, opened
from server.power.nvidia.nvml import NvmlMeter, visible_gpus
from starwatt_errors import MeterError
from tests.golden.nvml.world import (
    AVERAGE,
    COUNTER,
    DRIVER_NOT_LOADED,
    FUNCTION_NOT_FOUND,
    INSTANT,
    INSUFFICIENT_POWER,
    IRQ_ISSUE,
    LOST,
    MISMATCH,
    NO_PERMISSION,
    NOT_READY,
    NOT_SUPPORTED,
    POWERLESS,
    RESET_REQUIRED,
    TEMPERATURE,
    TIMEOUT,
    UNKNOWN,
    BoardModel,
    GoldenBoards,
)
from tests.server.power.conftest import A, B, golden_boards
from traces.clock import now_ns

C = "GPU-22222222-cccc"
MUTE = BoardModel(C, "Board C", offers=POWERLESS | TEMPERATURE)


@contextmanager
def metered(*gpus: str) -> Iterator[NvmlMeter]:
    """The meter of these boards, or of the visible ones."""
    with closing(NvmlMeter(gpus or None)) as meter:
        yield meter


def names(meter: NvmlMeter) -> list[str]:
    """The boards that it reads."""
    return [device.name for device in meter.devices]


def of_first(meter: NvmlMeter, *, slow: bool = False) -> Reading:
    """The first board's reading, or its slow one."""
    readings = meter.read(slow=slow)
    return readings[len(meter.devices) if slow else 0]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (LOST, "GPU 0: GPU is lost; it has fallen off the bus"),
        (UNKNOWN, "GPU 0: Unknown Error; does nvidia-smi work"),
        (NOT_READY, "GPU 0: .*; confidential computing holds it back"),
        (IRQ_ISSUE, "GPU 0: .*; the kernel has trouble with its interrupts"),
        (INSUFFICIENT_POWER, "GPU 0: .*; its power cables are not plugged in"),
    ],
)
def test_a_board_that_does_not_answer_is_told_and_the_others_are_read(
    nvml_here: GoldenBoards, code: int, words: str
) -> None:
    nvml_here.strike("handle", code, board=0)
    with metered() as meter:
        assert names(meter) == [B]
        assert of_first(meter).power_avg_w == 150.0
        assert [bool(re.match(words, told)) for told in meter.left_out] == [True]
    assert [gpu.uuid for gpu in gpu_inventory()] == [gpu.uuid for gpu in visible_gpus()] == [B]
    assert silent_gpus() == boards_left_out()
    assert "left out: GPU 0: " in available_sources()["nvml"]
    with metered(B) as meter:
        assert names(meter) == [B]
    with pytest.raises(NvmlError, match=f"NVML: {words}"):
        NvmlMeter(["0"])
    with pytest.raises(NvmlError, match=f"there is no GPU {A} here; there is {B}; GPU 0 does not answer: "):
        NvmlMeter([A])


def test_a_number_still_means_the_same_board_beside_one_that_is_lost(
    nvml_here: GoldenBoards, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml_here.strike("handle", LOST, board=0)
    for visible in ("1", "0,1", f"{B},0"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert [(gpu.number, gpu.uuid) for gpu in visible_gpus()] == [(1, B)]


def test_boards_that_a_job_may_not_open_are_anothers_and_numbers_are_cudas(
    nvml_here: GoldenBoards, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml_here.strike("handle", NO_PERMISSION, board=0)
    for visible in (None, "0", B):
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert [(gpu.number, gpu.uuid) for gpu in visible_gpus()] == [(0, B)]
        assert silent_gpus() == boards_left_out() == ()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with pytest.raises(NvmlError, match=f"there is no GPU 1 here; there is {B}$"):
        visible_gpus()


def test_boards_that_this_user_may_not_open_at_all_are_an_error_with_its_remedy(
    nvml_here: GoldenBoards,
) -> None:
    nvml_here.strike("handle", NO_PERMISSION)
    with pytest.raises(
        NvmlError, match=r"GPU 1: Insufficient Permissions; this user may not open /dev/nvidia"
    ):
        visible_gpus()


def test_boards_of_which_none_answers_are_an_error_and_not_an_estimate(nvml_here: GoldenBoards) -> None:
    nvml_here.strike("handle", LOST)
    asks: Sequence[Callable[[], object]] = (
        NvmlMeter, visible_gpus, gpu_inventory, available_sources, lambda: choose_sources(Meters()), calibrate,
    )  # fmt: skip
    for ask in asks:
        with pytest.raises(NvmlError, match=r"GPU 0: GPU is lost.*GPU 1: GPU is lost") as raised:
            ask()
        assert not isinstance(raised.value, NoDriverError)


def test_boards_that_are_not_to_be_metered_may_fail(nvml_here: GoldenBoards) -> None:
    nvml_here.strike("handle", LOST)
    assert "nvml" not in choose_sources(Meters(gpus=()))


def test_a_board_that_comes_back_is_read_again(nvml_here: GoldenBoards) -> None:
    nvml_here.strike("handle", RESET_REQUIRED, board=0)
    with metered() as meter:
        assert names(meter) == [B]
    nvml_here.mend()
    with metered() as meter:
        assert names(meter) == [A, B]
        assert meter.left_out == ()


@pytest.mark.parametrize("call", ["fields", "each_field", "energy", "clocks", "processes"])
@pytest.mark.parametrize("code", [LOST, RESET_REQUIRED, MISMATCH, DRIVER_NOT_LOADED])
def test_a_board_that_goes_away_is_named_whatever_is_asked(
    nvml_here: GoldenBoards, call: str, code: int
) -> None:
    with metered() as meter:
        watch = Watch(None)
        nvml_here.strike(call, code, board=0)
        with pytest.raises(NvmlError, match=rf"NVML: GPU 0 \({A}\): nvmlDeviceGet\w+: "):
            watch.look() if call == "processes" else meter.read(slow=True)


@pytest.mark.parametrize(
    "code", [UNKNOWN, TIMEOUT, IRQ_ISSUE, NOT_SUPPORTED, FUNCTION_NOT_FOUND, NO_PERMISSION]
)
@pytest.mark.parametrize(
    ("call", "columns"),
    [
        ("clocks", {"throttle", "sm_clock_mhz", "mem_clock_mhz"}),
        ("energy", {"energy_j"}),
        ("fields", {"power_w", "power_avg_w"}),
        ("each_field", {"power_w", "power_avg_w"}),
    ],
)
def test_a_call_that_fails_once_is_a_null_in_that_reading_alone(
    nvml_here: GoldenBoards, call: str, columns: set[str], code: int
) -> None:
    def missing() -> set[str]:
        fast, slow = of_first(meter), of_first(meter, slow=True)
        told = {
            name
            for reading in (fast, slow)
            for name in Reading.__slots__
            if getattr(reading, name) is not None
        }
        return set(Reading.__slots__) - told

    with metered() as meter:
        assert missing() == set()
        nvml_here.strike(call, code, board=0)
        assert missing() == columns
        nvml_here.mend()
        assert missing() == set()


def test_a_board_that_shows_no_power_for_long_ends_the_record_by_name(
    nvml_here: GoldenBoards, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "SILENT_S", 0.0)
    with metered() as meter:
        nvml_here.strike("fields", UNKNOWN, board=1)
        with pytest.raises(NvmlError, match=rf"GPU 1 \({B}\) has shown no power for 0 s: .*Unknown Error"):
            meter.read(slow=False)


def test_a_list_of_processes_that_fails_proves_nothing(nvml_here: GoldenBoards) -> None:
    nvml_here.run_on(os.getpid())
    with opened():
        watch = Watch(os.getpid(), [A])
        assert [(look.state, look.engine) for look in watch.look()] == [
            ("exclusive", True),
            ("unknown", False),
        ]
        nvml_here.strike("processes", UNKNOWN)
        assert {(look.state, look.pids, look.engine) for look in watch.look()} == {("unknown", (), None)}


def test_a_studys_other_engines_are_no_strangers_and_a_board_of_theirs_is_not_the_engines(
    nvml_here: GoldenBoards,
) -> None:
    asked, loaded = (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) for _ in range(2)
    )
    with asked, loaded:
        nvml_here.run_on(asked.pid, loaded.pid)
        nvml_here.run_on(loaded.pid, board=1)
        with opened():
            alone, beside = Watch(asked.pid), Watch(asked.pid, residents=[loaded.pid])
            assert [(look.state, look.engine) for look in alone.look()] == [
                ("shared", True),
                ("shared", False),
            ]
            looks = beside.look()
    assert [(look.state, look.engine) for look in looks] == [("exclusive", True), ("unknown", False)]
    assert all(look.foreign == () for look in looks)


def test_a_board_that_tells_no_power_is_no_meter(
    nvml_here: GoldenBoards, nvml_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden_boards(nvml_library, tmp_path, monkeypatch, [MUTE])
    words = rf"GPU 0 \({C}\), Board C, offers neither power nor energy"
    with pytest.raises(NoPowerReadingError, match=words):
        NvmlMeter()
    assert [gpu.name for gpu in visible_gpus()] == ["Board C"]
    assert "nvml" not in available_sources()
    assert "nvml" not in choose_sources(Meters())
    assert len(boards_left_out()) == 1
    assert calibrate()["devices"] == {}
    with pytest.raises(MeterError, match=words):
        open_meters(Meters(sources=("nvml",)), None)


def test_a_board_that_tells_no_power_spoils_no_other(
    nvml_here: GoldenBoards, nvml_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = BoardModel(B, "Board B", offers=POWERLESS | COUNTER)
    golden_boards(nvml_library, tmp_path, monkeypatch, [MUTE, BoardModel(A), counting])
    with metered() as meter:
        assert names(meter) == [A, B]
        assert {reading.device.name for reading in meter.read(slow=True)} == {A, B}
        assert [told.partition(",")[0] for told in meter.left_out] == [f"GPU 0 ({C})"]
    with pytest.raises(NoPowerReadingError, match="offers neither"):
        NvmlMeter([A, C])


def test_a_board_that_answers_at_the_second_try_is_a_meter(nvml_here: GoldenBoards) -> None:
    nvml_here.strike("fields", UNKNOWN, board=0, until_calls=1)
    with metered() as meter:
        assert names(meter) == [A, B]
        assert of_first(meter).power_w == 300.0


INIT = (
    (MISMATCH, "version mismatch.*restart the machine"),
    (NO_PERMISSION, "join the group that may"),
    (UNKNOWN, "does nvidia-smi work"),
    (TIMEOUT, "Timeout|Time"),
)


@pytest.mark.parametrize(("code", "words"), INIT)
def test_a_driver_that_does_not_answer_is_not_no_driver(
    nvml_here: GoldenBoards, code: int, words: str
) -> None:
    nvml_here.strike("init", code)
    hardware.this_machine.cache_clear()
    asks: Sequence[Callable[[], object]] = (
        NvmlMeter, visible_gpus, gpu_inventory, silent_gpus, available_sources, hardware.this_machine, calibrate,
        lambda: open_meters(Meters(), os.getpid()),
    )  # fmt: skip
    for ask in asks:
        with pytest.raises(NvmlError, match=words):
            ask()


def test_a_driver_that_is_not_loaded_is_no_driver(nvml_here: GoldenBoards) -> None:
    nvml_here.strike("init", DRIVER_NOT_LOADED)
    hardware.this_machine.cache_clear()
    assert visible_gpus() == []
    assert gpu_inventory() == []
    assert hardware.this_machine().gpus == ()
    assert "nvml" not in available_sources()
    assert "no NVIDIA driver" in calibrate()["reason"]
    with pytest.raises(MeterError, match="meters: nvml: no NVIDIA driver answers here"):
        open_meters(Meters(sources=("nvml",)), None)


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        ("0,0,1,0", [A, B]), (f"{B},1", [B]), ("00", [A]), ("NoDevFiles", []), ("none", []), ("void", []),
        ("1,-1,0", [B]), (" 1 , ", [B]),
    ],
)  # fmt: skip
def test_what_schedulers_write_into_cuda_visible_devices_is_understood(
    nvml_here: GoldenBoards, monkeypatch: pytest.MonkeyPatch, visible: str, found: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [gpu.uuid for gpu in visible_gpus()] == found


@pytest.mark.parametrize("visible", ["²", "٣", "1.0", "0x1", "+1", "9" * 5000, "-2", "GPU\t0", "\udcff"])
def test_what_names_no_board_is_an_error_in_words(
    nvml_here: GoldenBoards, monkeypatch: pytest.MonkeyPatch, visible: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(NvmlError, match=f"there is no GPU .* here; there is {A}, {B}"):
        visible_gpus()


def test_a_beginning_that_several_share_and_a_mig_instance_are_told(
    nvml_here: GoldenBoards, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-")
    with pytest.raises(NvmlError, match=f"GPU- is the beginning of several: {A}, {B}"):
        visible_gpus()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-4f2e")
    with pytest.raises(
        NvmlError, match="MIG-4f2e is a MIG instance, and power is known of whole boards alone"
    ):
        visible_gpus()


@pytest.mark.parametrize("offers", [INSTANT, AVERAGE, 0])
def test_any_one_power_reading_is_enough(
    nvml_here: GoldenBoards, nvml_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offers: int
) -> None:
    golden_boards(nvml_library, tmp_path, monkeypatch, [BoardModel(C, offers=offers)])
    with metered() as meter:
        reading = of_first(meter)
        assert 300.0 in (reading.power_w, reading.power_avg_w)
        assert (reading.power_w is None) == (offers != INSTANT)


@pytest.mark.parametrize("offers", [INSTANT, AVERAGE, 0])
def test_a_power_that_nvml_calls_not_available_is_none(
    nvml_here: GoldenBoards, nvml_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offers: int
) -> None:
    model = BoardModel(C, offers=offers | COUNTER, limit_w=0xFFFFFFFF * 1e-3)
    boards = golden_boards(nvml_library, tmp_path, monkeypatch, [model])
    boards.draw(0xFFFFFFFF * 1e-3, now_ns() - 10_000_000_000)
    with metered() as meter:
        reading = of_first(meter)
        assert (reading.power_w, reading.power_avg_w) == (None, None)
    assert [gpu.power_limit_w for gpu in gpu_inventory()] == [None]


def test_a_board_without_a_name_is_one(nvml_here: GoldenBoards) -> None:
    nvml_here.strike("name", UNKNOWN, board=0)
    assert [gpu.name for gpu in visible_gpus()] == ["unnamed GPU", "Board B"]


def test_a_reason_for_low_clocks_that_fills_all_64_bits_is_kept(nvml_here: GoldenBoards) -> None:
    nvml_here.throttle(1 << 63 | 0x24)
    with metered() as meter:
        mask = of_first(meter).throttle
    assert mask is not None
    assert pa.array([mask], type=pa.int64())[0].as_py() & 0x24 == 0x24
    assert mask < 0
