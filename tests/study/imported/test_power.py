"""Power logs of an import: which sensor they are of, what is stated of them, and what does not go together."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from starwatt_errors import MeterError, UsageError
from study.imported.power import read_logs

_NVIDIA = "timestamp, index, {column} [W]\n2026/11/26 09:30:00.000, 0, 100.0 W\n2026/11/26 09:30:00.100, 0, 110.0 W\n"
_WALL = "time,power_w\n1000,100\n1001,110\n"


def log(tmp_path: Path, text: str, name: str = "log.csv") -> str:
    """A log with this text."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    return str(tmp_path / name)


@pytest.mark.parametrize(
    ("column", "fields", "averages_s", "kept_as"),
    [
        ("power.draw.instant", "", 0.025, "power_w"),
        ("power.draw.average", "", 1.0, "power_avg_w"),
        ("power.draw", ",averages_s=1", 1.0, "power_avg_w"),
        ("power.draw", ",averages_s=0.025", 0.025, "power_w"),
    ],
)
def test_a_boards_log_is_read_as_its_sensor_is(
    tmp_path: Path, column: str, fields: str, averages_s: float, kept_as: str
) -> None:
    [power] = read_logs([log(tmp_path, _NVIDIA.format(column=column)) + ",zone=UTC" + fields], None)
    assert (power.source, power.settings.boundary, power.averages_s) == ("nvml", "gpu", averages_s)
    row = power.rows(0.0, *(round(at * 1e9) for at in power.span_s))[1]
    assert row[kept_as] == 110.0
    assert row["t_ns"] * 1e-9 == pytest.approx(1_795_685_400.1, abs=1e-6)


def test_power_draw_alone_is_refused_for_what_it_may_be_the_mean_of(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"averages_s=1 or averages_s=0\.025"):
        read_logs([log(tmp_path, _NVIDIA.format(column="power.draw"))], "UTC")


def test_a_wall_meters_log_is_another_source_and_its_own_words_come_first(tmp_path: Path) -> None:
    path = log(tmp_path, _WALL)
    [plain] = read_logs([path], None)
    [rack] = read_logs([f"{path},device=rack,clock_offset_s=-0.5,clock_uncertainty_s=0.02"], None)
    assert (plain.source, plain.settings.boundary, plain.clock(0.2, 0.1)) == ("external", "host", (0.2, 0.1))
    assert (rack.settings.device, rack.clock(0.2, 0.1)) == ("rack", (-0.5, 0.02))
    assert [row["t_ns"] for row in rack.rows(-0.5, 1000 * 10**9, 1001 * 10**9)] == [
        1_000_500_000_000,
        1_001_500_000_000,
    ]


def test_readings_far_from_the_load_are_left_out_and_missing_ones_stay_gaps(tmp_path: Path) -> None:
    [power] = read_logs([log(tmp_path, "time,power_w\n100,5\n1000,100\n1001,N/A\n1002,110\n9000,5\n")], None)
    rows = power.rows(0.0, 1000 * 10**9, 1002 * 10**9)
    assert [row["power_w"] for row in rows] == [100.0, None, 110.0]


def test_a_counter_counts_from_the_first_reading_that_is_kept(tmp_path: Path) -> None:
    [power] = read_logs(
        [
            log(tmp_path, "time,kwh,power_w\n10,7,1\n1000,8,1\n1001,9,1\n")
            + ",energy_column=kwh,energy_unit=kWh"
        ],
        None,
    )
    assert [row["energy_j"] for row in power.rows(0.0, 1000 * 10**9, 1001 * 10**9)] == [0.0, 3.6e6]


@pytest.mark.parametrize(
    ("text", "fields", "words"),
    [
        (_WALL, ",colour=red", "colour: .*fields: format, select"),
        (_WALL, ",clock_offset_s=soon", "clock_offset_s takes a number"),
        (_WALL, ",boundary=moon", "boundary: "),
        (_WALL, ",zone=Moon/Base", "zone"),
        ("time,power_w\n", "", "has no reading"),
        ("time,power_w\n1000,-4\n", "", "line 2: "),
        ("a,b\n1,2\n", "", "has no column time"),
        ("", "", "has no header|is empty"),
        ("timestamp, index, power.draw.instant [W]\n2026/11/26 09:30:00.000, 0, 1 W\n2026/11/26 09:30:00.000, 1, 1 W\n",
         "", "several devices .0, 1.*--power FILE,field=value"),
    ],
)  # fmt: skip
def test_a_log_that_does_not_fit_is_refused_with_its_remedy(
    tmp_path: Path, text: str, fields: str, words: str
) -> None:
    with pytest.raises((UsageError, MeterError), match=words):
        read_logs([log(tmp_path, text) + fields], "UTC" if "timestamp" in text else None)


def test_a_log_that_is_not_there_and_two_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        read_logs([str(tmp_path / "none.csv")], None)
    path = log(tmp_path, _WALL)
    with pytest.raises(UsageError, match="two logs are called wall"):
        read_logs([path, path], None)


@pytest.mark.parametrize("torn", ["2026/11/26 09:30:00.200, 0, 12", "2026/11/26 09:3", "\x00\x00"])
def test_a_last_line_that_was_cut_off_as_its_program_was_stopped_is_no_reading(
    tmp_path: Path, torn: str
) -> None:
    whole = _NVIDIA.format(column="power.draw.instant")
    [power] = read_logs([log(tmp_path, whole + torn)], "UTC")
    assert [line.power_w for line in power.whole.lines] == [100.0, 110.0]


@pytest.mark.parametrize("last", ["{:.2f}", "{:.2f} W", "{:.0f}", "{:.0f},P0", '"{:.1f}"'])
def test_a_last_line_without_an_end_is_a_reading_where_nothing_of_it_can_be_missing(
    tmp_path: Path, last: str
) -> None:
    lines = [f"{1000 + number},{last.format(power_w)}" for number, power_w in enumerate((100, 110, 120, 130))]
    whole = "\n".join(["time,power_w,state" if "P0" in last else "time,power_w", *lines])
    for text, power_w in ((whole, [100, 110, 120, 130]), (whole[:-1], [100, 110, 120])):
        [read] = read_logs([log(tmp_path, text)], None)
        assert [line.power_w for line in read.whole.lines] == power_w


def test_a_log_is_read_from_gzip_and_as_powershell_writes_it(tmp_path: Path) -> None:
    text = _NVIDIA.format(column="power.draw.instant")
    (tmp_path / "plain.csv").write_text(text)
    (tmp_path / "packed.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "powershell.csv").write_text(text.replace("\n", "\r\n"), encoding="utf-16")
    names = ("plain.csv", "packed.csv.gz", "powershell.csv")
    read = [read_logs([str(tmp_path / name)], "UTC")[0].whole for name in names]
    assert read[0] == read[1] == read[2]
    (tmp_path / "torn.csv.gz").write_bytes(gzip.compress(text.encode())[:-9])
    with pytest.raises(MeterError, match="is no whole gzip file"):
        read_logs([str(tmp_path / "torn.csv.gz")], "UTC")


def test_boards_that_share_every_time_in_a_log_that_names_none_are_not_mixed(tmp_path: Path) -> None:
    text = "timestamp, power.draw.instant [W]\n" + "".join(
        f"2026/11/26 09:30:0{second}.000, {watts} W\n" for second in range(3) for watts in (100, 500)
    )
    with pytest.raises(MeterError, match="several readings at each time, and no column says of which device"):
        read_logs([log(tmp_path, text)], "UTC")
    [same] = read_logs([log(tmp_path, text.replace("500", "100"))], "UTC")
    assert {line.power_w for line in same.whole.lines} == {100.0}


@pytest.mark.parametrize("late_ms", [(0, 3), (2, 4, 9, 11), (0, 0, 1, 1)])
def test_boards_that_are_asked_one_after_the_other_in_a_log_that_names_none_are_not_mixed(
    tmp_path: Path, late_ms: tuple[int, ...]
) -> None:
    readings = [
        f"2026/11/26 09:{minute}:{second:02d}.{ms + second:03d}, {100 + number * 50} W\n"
        for minute in (30, 59)
        for second in range(10)
        for number, ms in enumerate(late_ms)
    ]
    title = "timestamp, power.draw.instant [W]\n"
    with pytest.raises(MeterError, match="several readings at each time, and no column says of which device"):
        read_logs([log(tmp_path, title + "".join(readings[:-1]))], "UTC")
    [alone] = read_logs([log(tmp_path, title + "".join(readings[:: len(late_ms)]))], "UTC")
    assert len(alone.whole.lines) == 20


def test_a_meter_that_is_read_for_some_seconds_of_each_minute_is_one_meter(tmp_path: Path) -> None:
    lines = "".join(f"{1000 + 60 * minute + k / 10},{100 + k}\n" for minute in range(9) for k in range(10))
    [power] = read_logs([log(tmp_path, "time,power_w\n" + lines)], None)
    assert len(power.whole.lines) == 90


def test_one_board_that_is_read_more_often_than_its_log_has_times_is_one_board(tmp_path: Path) -> None:
    lines = "".join(
        f"2026-11-26T09:30:0{second}+0000 GPU 0  {100 + k}.5\n" for second in range(3) for k in (1, 2)
    )
    [power] = read_logs([log(tmp_path, "#Entity  PWRINST\nID       W\n" + lines)], None)
    assert len(power.whole.lines) == 6


def test_lines_of_dcgmi_dmon_without_times_are_no_log_of_the_past(tmp_path: Path) -> None:
    text = "#Entity  PWRINST\nID       W\nGPU 0   101.5\n"
    with pytest.raises(MeterError, match="line 3: has no time: put one before each line"):
        read_logs([log(tmp_path, text)], "UTC")
