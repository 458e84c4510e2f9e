"""AMD boards through the real package amdsmi, on a library whose boards are known."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from configs.meters import Meters
from server.power.amd.boards import Accumulator, AmdMeter, known
from server.power.amd.library import AmdError, NoAmdError
from server.power.meter import Reading
from server.power.meters import available_sources, open_meters
from server.power.sidecar import Sidecar
from study.doctor.environment import amd_gpus
from tests.server.power.amd.conftest import line
from traces.streams import read_trace

Host = Callable[..., None]
_NONE_16, _NONE_32 = 65535, 2**32 - 1


def both(meter: AmdMeter) -> tuple[Reading, Reading]:
    """The quick reading of its only board, and the slow one."""
    quick, slow = meter.read(slow=True)
    return quick, slow


def test_what_a_board_of_the_mi300_kind_offers_is_read_and_nothing_else_is_made_up(host: Host) -> None:
    host(line())
    with closing(AmdMeter()) as meter:
        quick, slow = both(meter)
    assert (quick.power_w, quick.power_avg_w, slow.power_limit_w) == (700.0, None, 750.0)
    assert quick.energy_j is None
    assert (slow.temperature_c, slow.sm_clock_mhz, slow.mem_clock_mhz, slow.utilization) == (
        55,
        2100,
        2100,
        0.75,
    )
    assert (slow.energy_j, slow.power_w, slow.throttle) == (0.0, None, None)
    assert (quick.device.name, quick.device.boundary, quick.device.source) == ("aaff-1", "gpu", "amdsmi")
    assert "MI300X" in quick.device.note


def test_a_board_of_the_mi200_kind_has_its_average_power_and_says_so(host: Host) -> None:
    for absent in (_NONE_16, _NONE_32):
        host(line(current=absent, average=94, temperature=41_000, cap=560))
        with closing(AmdMeter()) as meter:
            quick, slow = both(meter)
        assert (quick.power_w, quick.power_avg_w, slow.power_limit_w) == (None, 94.0, 560.0)
        assert slow.temperature_c == 41.0
        assert "average" in quick.device.note


def test_the_accumulator_counts_joules_by_its_resolution_from_the_first_reading_on(host: Host) -> None:
    host(line(energy=5_000_000))
    with closing(AmdMeter()) as meter:
        both(meter)
        host(line(energy=5_000_000 + 65_359_477))
        assert both(meter)[1].energy_j == pytest.approx(1000.0, rel=1e-6)


@pytest.mark.parametrize("size", [1 << 32, 1 << 64])
def test_a_counter_that_comes_round_goes_on_and_one_that_begins_anew_goes_back(size: int) -> None:
    counter = Accumulator()

    def shown(count: int) -> float | None:
        return counter.joules({"energy_accumulator": count, "counter_resolution": 1e6})

    assert shown(size - 100) == 0
    assert shown(50) == 150
    assert shown(70) == 170
    began_anew = Accumulator()
    for count, joules in ((1_000_000, 0), (10, -999_990)):
        assert began_anew.joules({"power": count, "counter_resolution": 1e6}) == joules


def test_a_board_without_an_accumulator_has_no_joules() -> None:
    assert Accumulator().joules({}) is None
    assert Accumulator().joules({"energy_accumulator": 0, "counter_resolution": 15.3}) is None
    assert [known(value) for value in ("N/A", _NONE_16, _NONE_32, True, 94)] == [None, None, None, None, 94.0]


def test_partitions_of_a_board_are_read_once_and_a_die_without_power_is_left_out(host: Host) -> None:
    host(
        line(bdf=0xC100, uuid="whole"), line(bdf=0xC101, uuid="part-1"), line(bdf=0xC102, uuid="part-2"),
        line(bdf=0xC900, uuid="die-0", current=_NONE_16, average=300),
        line(bdf=0xCE00, uuid="die-1", current=_NONE_16, average=0),
    )  # fmt: skip
    with closing(AmdMeter()) as meter:
        assert [device.name for device in meter.devices] == ["whole", "die-0"]
        assert len(meter.left_out) == 3
        assert "part-1: a partition of whole" in meter.left_out[0]
        assert "die-1: tells no power" in meter.left_out[2]
        assert sum(reading.shown_w or 0 for reading in meter.read(slow=False)) == 1000


def test_boards_that_are_named_are_read_and_one_that_is_not_there_is_missed(host: Host) -> None:
    host(line(uuid="one"), line(bdf=0xC900, uuid="other"))
    with closing(AmdMeter(["other"])) as meter:
        assert [device.name for device in meter.devices] == ["other"]
    with pytest.raises(AmdError, match="another is not here"):
        AmdMeter(["another"])


@pytest.mark.parametrize("variable", ["ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"])
def test_boards_that_the_environment_hides_are_not_read(
    host: Host, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host(line(uuid="one"), line(bdf=0xC900, uuid="other"))
    for named in ("1", "1,-1,0"):
        monkeypatch.setenv(variable, named)
        with closing(AmdMeter()) as meter:
            assert [device.name for device in meter.devices] == ["other"]
    monkeypatch.setenv(variable, "-1")
    with pytest.raises(NoAmdError, match="no GPU is here"):
        AmdMeter()
    monkeypatch.setenv(variable, "GPU-aa")
    with pytest.raises(AmdError, match=r"name them in meters.gpus"):
        AmdMeter()


@pytest.mark.parametrize(
    ("named", "seen"),
    [
        ("GPU-0badcafe00000001", ["a"]), ("GPU-0BADCAFE00000002", ["b"]), ("0,GPU-0badcafe00000002", ["a", "b"]),
        ("GPU-c0", ["c"]), ("GPU-b,0", ["a", "b"]), ("GPU-a", ["a"]),
    ],
)  # fmt: skip
def test_boards_are_named_by_uuid_as_rocm_documents_it(
    host: Host, named: str, seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    boards = (("a", "0xbadcafe00000001"), ("b", "0xbadcafe00000002"), ("c", "0xc0ffee0000000003"))
    host(*(line(bdf=0xC100 + 0x100 * n, uuid=uuid, serial=hexa) for n, (uuid, hexa) in enumerate(boards)))
    monkeypatch.setenv("ROCR_VISIBLE_DEVICES", named)
    with closing(AmdMeter()) as meter:
        assert [device.name for device in meter.devices] == seen
    monkeypatch.setenv("ROCR_VISIBLE_DEVICES", "GPU-0badcafe")
    with pytest.raises(AmdError, match=r"GPU-0badcafe is the number or UUID of no board, or of several"):
        AmdMeter()


def test_hip_counts_among_the_boards_that_rocr_leaves(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host(line(uuid="a"), line(bdf=0xC900, uuid="b"), line(bdf=0xD100, uuid="c"))
    monkeypatch.setenv("ROCR_VISIBLE_DEVICES", "1,2")
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "1")
    with closing(AmdMeter()) as meter:
        assert [device.name for device in meter.devices] == ["c"]


def test_a_board_that_is_lost_or_says_no_power_any_more_is_an_error(host: Host) -> None:
    for becomes in (line(status=33), line(current=_NONE_16)):  # busy; without power
        host(line())
        with closing(AmdMeter()) as meter:
            meter.read(slow=True)
            host(becomes)
            with pytest.raises(AmdError, match=r"AMD SMI: "):
                meter.read(slow=True)


def test_without_driver_board_or_library_there_is_no_such_meter(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NoAmdError, match="Driver not loaded"):
        AmdMeter()
    host()
    with pytest.raises(NoAmdError, match="no GPU is here"):
        AmdMeter()
    assert "amdsmi" not in available_sources()
    assert amd_gpus().state == "ok"
    assert "no GPU is here" in amd_gpus().detail


def test_a_machine_with_such_boards_is_metered_by_them_and_doctor_names_them(
    host: Host, tmp_path: Path
) -> None:
    host(line())
    assert available_sources()["amdsmi"] == "AMD Instinct MI300X"
    assert "MI300X" in amd_gpus().detail
    [meter] = open_meters(Meters(sources=("amdsmi",)), None)
    meter.close()
    with Sidecar.start(tmp_path / "cell", Meters(sources=("amdsmi",)), engine_pid=None) as sidecar:
        sidecar.stop()
    rows = read_trace(tmp_path / "cell", "power").to_pylist()
    assert {(row["boundary"], row["source"]) for row in rows} == {("gpu", "amdsmi")}
    assert {row["power_w"] for row in rows} == {700.0, None}
    assert any(row["energy_j"] is not None for row in rows)
