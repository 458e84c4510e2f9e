"""The sidecar as the process that it is, on NVML of two boards and on a busy process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from configs.meters import Meters, Modelled
from server.power.sidecar import Said, Sidecar
from starwatt_errors import MeterError, TraceError
from tests.golden.nvml.world import LOST, GoldenBoards
from tests.server.power.conftest import A, B
from tests.support.busy import PATIENCE_S
from traces.streams import read_trace

NVML = Meters(sources=("nvml",), sample_hz=50)
MODELLED = Meters(sources=("modelled",), sample_hz=50, modelled=Modelled(watts_per_cpu=10))


def read(folder: Path) -> list[dict[str, Any]]:
    """The readings so far."""
    try:
        rows: list[dict[str, Any]] = read_trace(folder, "power").to_pylist()
    except TraceError:  # nothing was flushed yet
        return []
    return rows


def wait_for(enough: Callable[[], bool]) -> None:
    """Ask again until it is so; the test's own time limit is the bound."""
    while not enough():
        time.sleep(0.02)  # the sidecar's file tells, and nothing wakes its readers


def sampled(folder: Path, settings: Meters, pid: int | None = None) -> tuple[list[dict[str, Any]], Sidecar]:
    """What a sidecar reads until its first rows are on disk, and after it was stopped."""
    with Sidecar.start(folder, settings, engine_pid=pid) as sidecar:
        wait_for(lambda: len(read(folder)) > 0)
    return read(folder), sidecar


@pytest.mark.usefixtures("nvml")
def test_every_visible_board_is_read_and_what_one_lacks_is_null(tmp_path: Path) -> None:
    rows, sidecar = sampled(tmp_path, NVML)
    assert [(device["name"], device["note"]) for device in sidecar.devices] == [
        (A, "Board A, whole board"),
        (B, "Board B, whole board; no energy counter; no instantaneous power"),
    ]
    for row in rows:
        assert (row["boundary"], row["source"]) == ("gpu", "nvml")
        assert row["read_ns"] > 0
    fast, slow = (
        [row for row in rows if (row["sm_clock_mhz"] is not None) is slow] for slow in (False, True)
    )
    first, second = ([row for row in fast if row["device"] == board] for board in (A, B))
    assert len(first) == len(second) > 4
    for row in first:
        assert (row["power_w"], row["power_avg_w"], row["throttle"]) == (300.0, 300.0, 0x24)
    for row in second:
        assert row["power_w"] is row["energy_j"] is None
        assert row["power_avg_w"] == 150.0
    for row in slow:
        assert row["power_w"] is row["power_avg_w"] is None
        assert (row["sm_clock_mhz"], row["mem_clock_mhz"], row["utilization"]) == (1980, 2619, 0.87)
        lacking = row["device"] == B
        assert (row["temperature_c"], row["energy_j"] is None) == (None if lacking else 61, lacking)


def test_a_sidecar_does_without_pandas(tmp_path: Path) -> None:
    with Sidecar.start(tmp_path, MODELLED, engine_pid=os.getpid()) as sidecar:
        libraries = Path(f"/proc/{sidecar.process.pid}/maps").read_text()
    assert "/pyarrow/" in libraries
    assert "/pandas/" not in libraries


@pytest.mark.usefixtures("nvml")
def test_the_energy_counter_is_read_at_its_own_rate_and_counts_from_the_first_reading(tmp_path: Path) -> None:
    with Sidecar.start(tmp_path, NVML, engine_pid=None):
        wait_for(lambda: len(read(tmp_path)) > 200)
    rows = [row for row in read(tmp_path) if row["device"] == A]
    known = [row for row in rows if row["energy_j"] is not None]
    elapsed_s = (rows[-1]["t_ns"] - rows[0]["t_ns"]) * 1e-9
    assert 2 <= len(known) <= elapsed_s * NVML.counter_hz + 2.5
    assert sum(row["power_w"] is not None for row in rows) > 5 * len(known)
    for row in known:
        since_s = (row["t_ns"] - known[0]["t_ns"]) * 1e-9
        off_s = 0.11 + (row["read_ns"] + known[0]["read_ns"]) * 1e-9  # a step, and what the readings took
        assert row["energy_j"] == pytest.approx(300.0 * since_s, abs=300.0 * off_s)


@pytest.mark.usefixtures("nvml")
@pytest.mark.parametrize(
    ("visible", "boards"),
    [("1", [B]), ("1,0", [B, A]), (f"{B}", [B]), (f"{B}, {A}", [B, A]), ("0,-1,1", [A])],
)
def test_cuda_visible_devices_chooses_the_boards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str, boards: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with Sidecar.start(tmp_path, NVML, engine_pid=None) as sidecar:
        assert [device["name"] for device in sidecar.devices] == boards


@pytest.mark.usefixtures("nvml")
@pytest.mark.parametrize("visible", ["", "-1"])
def test_hidden_boards_are_no_boards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(MeterError, match="meters: nvml: no NVIDIA driver answers here"):
        Sidecar.start(tmp_path, NVML, engine_pid=None)


@pytest.mark.usefixtures("nvml")
@pytest.mark.parametrize("visible", ["7", "GPU-none"])
def test_a_board_that_is_not_there_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(MeterError, match=f"there is no GPU {visible} here; there is {A}, {B}"):
        Sidecar.start(tmp_path, NVML, engine_pid=None)


@pytest.mark.usefixtures("nvml")
def test_auto_takes_the_boards_where_there_are_any(tmp_path: Path) -> None:
    with Sidecar.start(tmp_path, Meters(), engine_pid=None) as sidecar:
        assert {A, B} <= {device["name"] for device in sidecar.devices}
        assert "modelled" not in {device["source"] for device in sidecar.devices}


def test_a_lost_board_is_told_in_the_sidecars_words_and_what_was_read_is_kept(
    tmp_path: Path, nvml: GoldenBoards
) -> None:
    nvml.strike("fields", LOST, board=0, after_calls=30)
    sidecar = Sidecar.start(tmp_path, NVML, engine_pid=None)
    sidecar.process.wait(timeout=PATIENCE_S)
    with pytest.raises(MeterError, match=r"stopped by itself:\n.*nvmlDeviceGetFieldValues: GPU is lost"):
        sidecar.check_alive()
    with pytest.raises(MeterError, match="GPU is lost"):
        sidecar.stop()
    assert (tmp_path / "power.parquet").is_file()
    assert 20 < sum(row["power_w"] is not None for row in read(tmp_path)) < 30


def test_no_meter_and_no_process_to_look_at_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MeterError, match="name it with --pid"):
        Sidecar.start(tmp_path, MODELLED, engine_pid=None)


def test_a_process_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MeterError, match="there is no process 4194000"):
        Sidecar.start(tmp_path, MODELLED, engine_pid=4_194_000)


def test_the_sidecar_keeps_its_schedule_and_says_what_it_cost(tmp_path: Path, busy_pid: int) -> None:
    rows, sidecar = sampled(tmp_path, MODELLED, busy_pid)
    elapsed_s = (rows[-1]["t_ns"] - rows[0]["t_ns"]) * 1e-9
    due = elapsed_s * MODELLED.sample_hz
    assert sidecar.summary["samples"] == len(rows)
    assert len(rows) + sidecar.summary["skipped"] == pytest.approx(due, abs=3)
    assert len(rows) > 0.7 * due
    assert 0 < sidecar.summary["cpu_share"] < 1
    assert [row["t_ns"] for row in rows] == sorted(row["t_ns"] for row in rows)


def test_a_sidecar_killed_outright_leaves_a_file_that_reads(tmp_path: Path, busy_pid: int) -> None:
    sidecar = Sidecar.start(tmp_path, MODELLED, engine_pid=busy_pid)
    wait_for(lambda: len(read(tmp_path)) > 0)
    sidecar.process.kill()
    sidecar.process.wait(timeout=PATIENCE_S)
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["power.arrows"]
    assert len(read(tmp_path)) > 0.7 * MODELLED.sample_hz
    with pytest.raises(MeterError):
        sidecar.stop()


def test_a_kill_leaves_the_record_alone(tmp_path: Path, busy_pid: int) -> None:
    sidecar = Sidecar.start(tmp_path, MODELLED, engine_pid=busy_pid)
    wait_for(lambda: len(read(tmp_path)) > 0)
    sidecar.process.kill()
    sidecar.process.wait(timeout=PATIENCE_S)
    assert [path.name for path in tmp_path.iterdir()] == ["power.arrows"]
    with pytest.raises(MeterError, match=r"the power sidecar was killed \(signal 9\)"):
        sidecar.check_alive()
    with pytest.raises(MeterError):
        sidecar.stop()


def test_a_second_recording_into_the_same_folder_is_refused_and_costs_the_first_nothing(
    tmp_path: Path, busy_pid: int
) -> None:
    with Sidecar.start(tmp_path, MODELLED, engine_pid=busy_pid) as first:
        wait_for(lambda: len(read(tmp_path)) > 0)
        with pytest.raises(
            MeterError, match=f"another recording is under way there .process {first.process.pid} "
        ):
            Sidecar.start(tmp_path, MODELLED, engine_pid=busy_pid)
    assert len(read(tmp_path)) == first.summary["samples"]
    with Sidecar.start(tmp_path, MODELLED, engine_pid=busy_pid):  # a cell that is measured again
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["power.parquet"]


def test_a_folder_that_cannot_be_made_is_an_error_with_its_reason(tmp_path: Path, busy_pid: int) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MeterError, match=r"file/out: cannot be recorded into: Not a directory"):
        Sidecar.start(tmp_path / "file" / "out", MODELLED, engine_pid=busy_pid)


def test_words_without_end_hold_no_child_up_and_the_last_ones_are_kept() -> None:
    code = (
        "import sys\nfor n in range(20000): print('line', n, file=sys.stderr)\nsys.stderr.write('the last')"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) as process:
        said = Said(process.stderr)
        assert process.wait(timeout=PATIENCE_S) == 0
        assert said.last(20.0, count=2) == "  line 19999\n  the last"
        said.close()


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that holds 64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here: that takes root")
    yield place
    release = ["umount", "-l", str(place)]
    subprocess.run(release, check=True)


def test_a_full_disk_is_told_although_nothing_can_be_written_there(full_disk: Path, busy_pid: int) -> None:
    sidecar = Sidecar.start(full_disk, MODELLED, engine_pid=busy_pid)
    with contextlib.suppress(OSError), (full_disk / "filling").open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
    sidecar.process.wait(timeout=PATIENCE_S)
    words = "power.(arrows|parquet): cannot be written: No space left on device"
    with pytest.raises(MeterError, match=f"stopped by itself:\n.*{words}"):
        sidecar.check_alive()
    with pytest.raises(MeterError, match=words):
        sidecar.stop()


def test_an_error_beside_the_sidecar_ends_it_too(tmp_path: Path, busy_pid: int) -> None:
    pids = []

    def fail_beside_it() -> None:
        with Sidecar.start(tmp_path, MODELLED, engine_pid=busy_pid) as sidecar:
            pids.append(sidecar.process.pid)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_beside_it()
    assert not psutil.pid_exists(pids[0])
    assert (tmp_path / "power.parquet").is_file()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_either_signal_ends_the_sampling_in_order(
    tmp_path: Path, busy_pid: int, number: signal.Signals
) -> None:
    command = [
        sys.executable, "-m", "server.power", "--out", str(tmp_path), "--meters", MODELLED.model_dump_json(),
        "--pid", str(busy_pid),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b'"ready": true' in process.stdout.readline()
        process.send_signal(number)
        assert b'"samples"' in process.stdout.readline()
        assert process.wait(timeout=PATIENCE_S) == 0
    assert (tmp_path / "power.parquet").is_file()
