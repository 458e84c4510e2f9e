"""RAPL on a powercap tree of our own, and the estimate from CPU time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from server.power.modelled import ModelledMeter, process_cpu_ns
from server.power.rapl import RaplMeter
from starwatt_errors import MeterError
from tests.server.power.conftest import working

RANGE_UJ = 262_143_328_850
SPIN = "import time\nend = time.process_time() + {seconds}\nwhile time.process_time() < end: pass\n"


def zone(root: Path, folder: str, name: str, energy_uj: int) -> Path:
    """One zone of the kernel's powercap tree."""
    path = root / folder
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
    (path / "energy_uj").write_text(f"{energy_uj}\n")
    return path / "energy_uj"


def test_packages_and_dram_are_devices_and_nothing_else_is(tmp_path: Path) -> None:
    for folder, name in (
        ("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "core"), ("intel-rapl:0:1", "dram"),
        ("intel-rapl:1", "package-1"), ("intel-rapl:2", "psys"),
    ):  # fmt: skip
        zone(tmp_path, folder, name, 5)
    devices = RaplMeter(tmp_path).devices
    assert [(device.name, device.boundary) for device in devices] == [
        ("package-0", "cpu"), ("dram-0", "dram"), ("package-1", "cpu"),
    ]  # fmt: skip


def test_a_counter_that_wraps_goes_on_counting(tmp_path: Path) -> None:
    energy = zone(tmp_path, "intel-rapl:0", "package-0", RANGE_UJ - 2_000_000)
    meter = RaplMeter(tmp_path)
    readings = []
    for counter_uj in (RANGE_UJ - 1_000_000, 500_000, 1_500_000, RANGE_UJ - 1, 0):
        energy.write_text(f"{counter_uj}\n")
        [reading] = meter.read(slow=False)
        assert reading.power_w is not None
        assert reading.power_w > 0
        readings.append(reading.energy_j)
    whole_j = RANGE_UJ * 1e-6
    assert readings == pytest.approx([1.0, 2.5, 3.5, whole_j + 2 - 1e-6, whole_j + 2.0])


def test_power_is_the_mean_since_the_last_reading(tmp_path: Path) -> None:
    energy = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = RaplMeter(tmp_path)
    before_ns = time.monotonic_ns()
    meter.read(slow=False)
    between_ns = time.monotonic_ns()
    energy.write_text("7000000\n")
    middle_ns = time.monotonic_ns()
    [reading] = meter.read(slow=False)
    after_ns = time.monotonic_ns()
    assert reading.power_w is not None
    assert 7e9 / (after_ns - before_ns) <= reading.power_w <= 7e9 / (middle_ns - between_ns)


def test_a_machine_without_zones_says_so(tmp_path: Path) -> None:
    with pytest.raises(MeterError, match=f"the kernel offers no zone under {tmp_path}"):
        RaplMeter(tmp_path)


def test_a_zone_that_only_root_may_read_comes_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    energy = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    really = Path.read_text

    def refuse(path: Path, encoding: str | None = None, errors: str | None = None) -> str:
        if path == energy:  # as the kernel does for all but root, which the tests may run as
            raise PermissionError(13, "Permission denied")
        return really(path, encoding, errors)

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(MeterError, match=rf"{energy} may only be read by root; .*chmod -R a\+r"):
        RaplMeter(tmp_path)


def test_a_zone_that_goes_away_is_an_error_with_its_name(tmp_path: Path) -> None:
    energy = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = RaplMeter(tmp_path)
    energy.unlink()
    with pytest.raises(MeterError, match=rf"{energy} cannot be read: No such file"):
        meter.read(slow=False)


ODD = ["", "\n", "many", "-5", "1e9", "0x10", "²", "1 2", "9" * 30, "\x00"]


@pytest.mark.parametrize("text", ODD)
def test_a_counter_that_is_no_number_is_said_in_words(tmp_path: Path, text: str) -> None:
    energy = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = RaplMeter(tmp_path)
    energy.write_text(text)
    words = rf"RAPL: {energy} holds .*(microjoules|no text)"
    with pytest.raises(MeterError, match=words):
        meter.read(slow=False)
    with pytest.raises(MeterError, match=words):
        RaplMeter(tmp_path)


@pytest.mark.parametrize("text", [*ODD, "0"])
def test_a_range_that_no_counter_can_wrap_at_is_said_in_words(tmp_path: Path, text: str) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    (tmp_path / "intel-rapl:0" / "max_energy_range_uj").write_text(text)
    with pytest.raises(MeterError, match=r"RAPL: .*max_energy_range_uj holds"):
        RaplMeter(tmp_path)


def test_a_boundary_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    dram = zone(tmp_path, "intel-rapl:0:0", "dram", 0)
    second = zone(tmp_path, "intel-rapl:1", "package-1", 0)
    assert len(RaplMeter(tmp_path).devices) == 3
    dram.write_text("")
    meter = RaplMeter(tmp_path)
    assert [device.name for device in meter.devices] == ["package-0", "package-1"]
    assert [str(dram) in str(error) for error in meter.left_out] == [True]
    dram.write_text("7\n")
    second.unlink()
    meter = RaplMeter(tmp_path)
    assert [device.name for device in meter.devices] == ["dram-0"]
    assert [f"{second} cannot be read" in str(error) for error in meter.left_out] == [True]


@pytest.mark.parametrize("pid", [-1, 0x7FFFFFFF, 1 << 70])
def test_a_process_that_cannot_be_is_said_in_words(pid: int) -> None:
    with pytest.raises(MeterError, match=f"there is no process {pid}"):
        ModelledMeter(pid, watts_per_cpu=10)


def _halt(pid: int) -> None:
    """Stop a process, so that two looks at its CPU time see the same."""
    os.kill(pid, signal.SIGSTOP)
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        os.sched_yield()


@pytest.fixture
def busiest_pid() -> Iterator[int]:
    """A process that never rests."""
    with working(0.0) as pid:
        yield pid


def test_joules_are_cpu_time_times_watts(busiest_pid: int) -> None:
    _halt(busiest_pid)
    before_ns = process_cpu_ns(busiest_pid)
    meter = ModelledMeter(busiest_pid, watts_per_cpu=10)
    os.kill(busiest_pid, signal.SIGCONT)
    while process_cpu_ns(busiest_pid) - before_ns < 400_000_000:
        os.sched_yield()
    _halt(busiest_pid)
    [reading] = meter.read(slow=False)
    cpu = psutil.Process(busiest_pid).cpu_times()
    assert reading.energy_j == pytest.approx((process_cpu_ns(busiest_pid) - before_ns) * 1e-9 * 10, rel=1e-6)
    assert process_cpu_ns(busiest_pid) * 1e-9 == pytest.approx(cpu.user + cpu.system, abs=0.05)
    assert reading.power_w is not None
    assert 0 < reading.power_w < 11


def test_children_count_and_stay_in_the_sum_when_they_have_ended() -> None:
    code = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', '''{SPIN.format(seconds=0.8)}''' + 'input()'],"
        " stdin=subprocess.PIPE)\n"
        "input(); child.communicate(b'x'); print('ended', flush=True); input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        meter = ModelledMeter(parent.pid, watts_per_cpu=10)
        joules = 0.0
        while joules < 7.5:
            [reading] = meter.read(slow=False)
            assert reading.energy_j is not None
            assert reading.energy_j >= joules
            joules = reading.energy_j
        parent.stdin.write(b"\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == b"ended\n"
        meter._looked_ns = 0  # look for children now, not half a second later
        [after] = meter.read(slow=False)
        assert after.energy_j is not None
        assert after.energy_j >= joules
        parent.kill()
