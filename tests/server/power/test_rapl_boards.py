"""RAPL as real processors and virtual machines show it: mirrored dies, names, limits, counters that fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from analysis.energy.device import device_energy
from analysis.energy.integral import PowerSeries
from analysis.energy.mirrors import without_mirrors
from analysis.requests.window import Window
from server.power.meter import Reading
from server.power.rapl import MaskedZonesError, RaplMeter, find_zones
from server.power.rapl_mirrors import find_mirrors
from starwatt_errors import MeterError
from tests.support.builders import SECOND

AMD_RANGE_UJ, INTEL_RANGE_UJ = 65_532_610_987, 262_143_328_850


def zone(
    root: Path, folder: str, name: str, energy_uj: int, *, range_uj: int = AMD_RANGE_UJ, **files: int
) -> Path:
    """One zone of the kernel's tree; returns its counter's file."""
    path = root / folder
    path.mkdir(parents=True)
    said = {"name": name, "max_energy_range_uj": range_uj, "energy_uj": energy_uj, **files}
    for file, value in said.items():
        (path / file).write_text(f"{value}\n")
    return path / "energy_uj"


def epyc(root: Path, packages: int, dies: int) -> list[list[Path]]:
    """AMD of Zen 1 or 2: each die of a package shows the package's counter."""
    folders = count()
    return [
        [
            zone(root, f"intel-rapl:{next(folders)}", f"package-{package}-die-{die}", 7_000_000 + 90_000_000 * package)
            for die in range(dies)
        ]
        for package in range(packages)
    ]  # fmt: skip


def names(root: Path) -> list[str]:
    return [device.name for device in RaplMeter(root).devices]


@pytest.mark.parametrize(("packages", "dies"), [(1, 2), (1, 4), (2, 4), (2, 8)])
def test_dies_that_mirror_a_package_are_counted_once(tmp_path: Path, packages: int, dies: int) -> None:
    counters = epyc(tmp_path, packages, dies)
    meter = RaplMeter(tmp_path)
    assert [device.name for device in meter.devices] == [f"package-{n}-die-0" for n in range(packages)]
    assert f"package-0-die-{dies - 1} show the same counter" in meter.devices[0].note
    for package, own in enumerate(counters):
        for file in own:
            file.write_text(f"{7_000_000 + 90_000_000 * package + 5_000_000}\n")
    assert [reading.energy_j for reading in meter.read(slow=False)] == [pytest.approx(5.0)] * packages


def test_dies_with_counters_of_their_own_are_summed(tmp_path: Path) -> None:
    """Cascade Lake-AP: the same names, other counters."""
    for die in range(2):
        zone(tmp_path, f"intel-rapl:{die}", f"package-0-die-{die}", 10**9 + die * 7 * 10**8)
        zone(tmp_path, f"intel-rapl:{die}:0", "dram", 10**8 + die * 3 * 10**8)
    assert names(tmp_path) == ["package-0-die-0", "dram-0-die-0", "package-0-die-1", "dram-0-die-1"]


def test_zones_keep_the_kernel_s_names_and_order(tmp_path: Path) -> None:
    """psys first, the second package's folder before the first's, and more than ten folders."""
    zone(tmp_path, "intel-rapl:0", "psys", 5)
    zone(tmp_path, "intel-rapl:1", "package-1", 6)
    zone(tmp_path, "intel-rapl:1:0", "dram", 7)
    zone(tmp_path, "intel-rapl:2", "package-0", 8)
    zone(tmp_path, "intel-rapl:2:0", "core", 9)
    zone(tmp_path, "intel-rapl:2:1", "dram", 10)
    zone(tmp_path, "intel-rapl:10", "package-2", 11)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 8)
    assert names(tmp_path) == ["package-1", "dram-1", "package-0", "dram-0", "package-2"]


def masked(tmp_path: Path) -> Path:
    """The links of the kernel's tree, as a container shows them: what they lead to is hidden."""
    root = tmp_path / "class"
    root.mkdir()
    for folder in ("intel-rapl", "intel-rapl:0", "intel-rapl:0:0"):
        (root / folder).symlink_to(tmp_path / "devices" / folder)
    return root


def test_zones_that_a_container_hides_are_told_with_what_shows_them(tmp_path: Path) -> None:
    with pytest.raises(MaskedZonesError, match=r"this container hides the zones .*systempaths=unconfined"):
        RaplMeter(masked(tmp_path))


def test_zones_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 8)
    zone(tmp_path, "intel-rapl:1", "package-0", 900_000_000)
    assert [die.name for die in find_zones(tmp_path)] == [
        "package-0 (intel-rapl:0)",
        "package-0 (intel-rapl:1)",
    ]


def test_a_zen_4_has_a_package_each_and_no_limits(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 1)
    zone(tmp_path, "intel-rapl:0:0", "core", 1)
    zone(tmp_path, "intel-rapl:1", "package-1", 1)
    assert names(tmp_path) == ["package-0", "package-1"]
    assert [reading.power_limit_w for reading in RaplMeter(tmp_path).read(slow=True)] == [None, None]


def moving(start_uj: int, step_uj: int, twin: Iterator[int] | None = None) -> Callable[[], int]:
    """A counter that moves at every look."""
    steps = twin or count(start_uj, step_uj)
    return lambda: next(steps)


def test_packages_of_other_names_are_mirrors_only_where_they_move_alike() -> None:
    shared = count(1_000_000, 50)
    assert find_mirrors(["package-0", "package-1"], [moving(0, 0, shared), moving(0, 0, shared)]) == {1: 0}
    assert find_mirrors(["package-0", "package-1"], [lambda: 5, lambda: 5]) == {}, "they stand still"
    apart = [moving(1_000_000, 50), moving(9_000_000_000, 50)]
    assert find_mirrors(["package-0", "package-1"], apart) == {}


def test_a_virtual_machine_whose_counter_stands_still_is_read_as_it_is(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = RaplMeter(tmp_path)
    assert [(reading.energy_j, reading.power_w) for reading in meter.read(slow=True)] == [(0.0, 0.0)]


def test_a_mirror_that_may_not_be_read_leaves_its_boundary_out(tmp_path: Path) -> None:
    [[_, second]] = epyc(tmp_path, 1, 2)
    second.write_text("many\n")
    with pytest.raises(MeterError, match=r"energy_uj holds 'many'"):
        RaplMeter(tmp_path)


@pytest.mark.parametrize(
    ("limits", "before_uj"),
    [
        ({}, 30_000_000_000),  # 35 kJ in a moment are more than any package draws
        (
            {"constraint_0_max_power_uw": 165_000_000, "constraint_1_max_power_uw": 413_000_000},
            65_300_000_000,
        ),
        ({"constraint_0_max_power_uw": 0, "constraint_0_power_limit_uw": 28_000_000}, 65_500_000_000),
    ],
)
def test_a_counter_that_begins_anew_goes_back_with_its_joules_and_shows_no_power(
    tmp_path: Path, limits: dict[str, int], before_uj: int
) -> None:
    energy = zone(tmp_path, "intel-rapl:0", "package-0", before_uj, **limits)
    meter = RaplMeter(tmp_path)
    energy.write_text("1000000\n")
    [reading] = meter.read(slow=False)
    assert reading.power_w is None
    assert reading.energy_j == pytest.approx((1_000_000 - before_uj) * 1e-6)
    energy.write_text("3000000\n")
    [reading] = meter.read(slow=False)
    assert reading.energy_j == pytest.approx((3_000_000 - before_uj) * 1e-6)
    assert reading.power_w is not None


def test_a_counter_beyond_its_range_is_no_wrap(tmp_path: Path) -> None:
    energy = zone(tmp_path, "intel-rapl:0", "package-0", AMD_RANGE_UJ + 5_000_000_000)
    meter = RaplMeter(tmp_path)
    energy.write_text("0\n")
    assert [reading.power_w for reading in meter.read(slow=False)] == [None]


def test_the_highest_power_limit_that_is_set_comes_with_the_slow_readings(tmp_path: Path) -> None:
    zone(
        tmp_path, "intel-rapl:0", "package-0", 5,
        constraint_0_power_limit_uw=165_000_000, constraint_1_power_limit_uw=198_000_000,
        constraint_0_max_power_uw=165_000_000,
    )  # fmt: skip
    meter = RaplMeter(tmp_path)
    assert [reading.power_limit_w for reading in meter.read(slow=False)] == [None]
    assert [reading.power_limit_w for reading in meter.read(slow=True)] == [pytest.approx(198.0)]
    (tmp_path / "intel-rapl:0" / "constraint_1_power_limit_uw").write_text("170000000\n")
    assert [reading.power_limit_w for reading in meter.read(slow=True)] == [pytest.approx(170.0)]


WINDOW = Window(2 * SECOND, 8 * SECOND)


def recorded(name: str, watts: float = 120.0, *, wobble: float = 0.0, late_s: float = 0.0) -> PowerSeries:
    """Ten seconds of RAPL at 20 Hz; ``late_s``: this zone is read so much later than others."""
    t_s = np.arange(0.0, 10.0, 0.05) + late_s
    energy_j = watts * t_s + wobble * np.sin(t_s)
    t_ns = (t_s * SECOND).astype(np.int64)
    power_w = np.diff(energy_j, prepend=energy_j[0] - watts * 0.05) / 0.05
    return PowerSeries(name, "cpu", "rapl", t_ns, t_ns, power_w, t_ns, energy_j)


def test_dies_whose_recorded_counters_move_alike_are_one_package() -> None:
    dies = [recorded(f"package-{p}-die-{d}", 120.0 + p, late_s=1e-4 * d) for p in range(2) for d in range(4)]
    assert [reading.device for reading in without_mirrors(dies)] == ["package-0-die-0", "package-1-die-0"]


def test_dies_or_packages_with_counters_of_their_own_stay() -> None:
    dies = [recorded("package-0-die-0"), recorded("package-0-die-1", wobble=2.0)]
    packages = [recorded("package-0"), recorded("package-1")]
    assert without_mirrors(dies) == dies
    assert without_mirrors(packages) == packages, "alike by chance: the kernel's names say that they are two"


def reasons(readings: list[Reading]) -> tuple[str, ...]:
    """Of a window over these readings, made one every 50 ms."""
    t_ns = np.arange(len(readings), dtype=np.int64) * (SECOND // 20)
    power_w = np.array([np.nan if reading.power_w is None else 100.0 for reading in readings])
    energy_j = np.array([reading.energy_j for reading in readings], dtype=np.float64)
    has = np.isfinite(power_w)
    series = PowerSeries("package-0", "cpu", "rapl", t_ns, t_ns[has], power_w[has], t_ns, energy_j)
    return device_energy(series, WINDOW).reasons


@pytest.mark.parametrize("anew_at", [None, 100])
def test_a_counter_that_begins_anew_in_the_window_makes_its_joules_invalid(
    tmp_path: Path, anew_at: int | None
) -> None:
    energy = zone(tmp_path, "intel-rapl:0", "package-0", 0, range_uj=INTEL_RANGE_UJ)
    meter = RaplMeter(tmp_path)
    readings, counter_uj = [], 1_000_000_000
    for place in range(200):
        counter_uj = 0 if place == anew_at else counter_uj + 5_000_000
        energy.write_text(f"{counter_uj}\n")
        readings += meter.read(slow=False)
    assert reasons(readings) == (() if anew_at is None else ("counter_backwards",))
