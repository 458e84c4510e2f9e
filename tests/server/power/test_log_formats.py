"""The forms in which people log power are recognised by themselves, in watts, with gaps where a meter had no value."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from configs.meters import ExternalLog
from server.power.logs.external import ExternalMeter
from server.power.logs.formats import format_of, recognised
from server.power.logs.reader import Line
from starwatt_errors import MeterError

AT = datetime(2026, 6, 15, 18, 28, 0, tzinfo=UTC).timestamp()

PTDAEMON = """\
Time,06-15-2026 18:28:00.000,Watts,8.030000,Volts,230.210000,Amps,0.057280,PF,0.608500,Mark,notset
Time,06-15-2026 18:28:01.000,Watts,-2.000000,Volts,230.200000,Amps,0.057300,PF,0.608400,Mark,notset
Time,06-15-2026 18:28:02.000,Watts,1012.500000,Volts,230.190000,Amps,4.4,PF,0.99,Mark,run
"""
NVIDIA_SMI = """\
timestamp, index, name, power.draw [W], utilization.gpu [%]
2026/06/15 18:28:00.000, 0, NVIDIA A100-SXM4-80GB, 8.03 W, 0 %
2026/06/15 18:28:01.000, 0, NVIDIA A100-SXM4-80GB, [N/A], 0 %
2026/06/15 18:28:02.000, 0, NVIDIA A100-SXM4-80GB, 1012.50 W, 100 %
"""
DCGMI = """\
1781548080.000 #Entity   POWER    TOTEC    TMPTR
1781548080.000 ID        W        mJ       C
1781548080.000 GPU 0     8.030    1234567  42
1781548081.000 GPU 0     N/A      1234999  42
1781548082.000 #Entity   POWER    TOTEC    TMPTR
1781548082.000 ID        W        mJ       C
1781548082.000 GPU 0     1012.500 2247499  60
"""
NVIDIA_DMON = """\
#Date       Time        gpu    pwr  gtemp  mtemp
#YYYYMMDD   HH:MM:SS    Idx      W      C      C
 20260615   18:28:00      0   8.03     40      -
 20260615   18:28:01      0      -     40      -
#Date       Time        gpu    pwr  gtemp  mtemp
#YYYYMMDD   HH:MM:SS    Idx      W      C      C
 20260615   18:28:02      0 1012.5     60      -
"""
IPMITOOL = "".join(
    f"""
    Instantaneous power reading:                   {watts} Watts
    Minimum during sampling period:                 1 Watts
    Maximum during sampling period:              1400 Watts
    Average power reading over sample period:     350 Watts
    IPMI timestamp:                           Mon Jun 15 18:28:0{second} 2026
    Sampling period:                          00000005 Seconds.
    Power reading state is:                   {state}

"""
    for second, (watts, state) in enumerate(
        (("8.03", "activated"), ("0", "deactivated"), ("1012.5", "activated"))
    )
)
FREEIPMI = "".join(
    f"""
Current Power                        : {watts} Watts
Minimum Power over sampling duration : 1 watts
Maximum Power over sampling duration : 1400 watts
Average Power over sampling duration : 350 watts
Time Stamp                           : 06/15/2026 - 18:28:0{second}
Statistics reporting time period     : 1473439000 milliseconds
Power Measurement                    : {state}
"""
    for second, (watts, state) in enumerate(
        (("8.03", "Active"), ("0", "Not Available"), ("1012.5", "Active"))
    )
)
EAR = """\
JOBID;STEPID;NODENAME;DC_NODE_POWER_W;DRAM_POWER_W;PCK_POWER_W;ITERATIONS;TIMESTAMP
41;0;node7;8.03;11.2;90.1;12;1781548080
41;0;node7;;11.2;90.1;13;1781548081
41;0;node7;1012.5;11.2;300.4;14;1781548082
"""
INFLUXDB = """\
#group,false,false,true,true,false,false,true,true
#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,double,string,string
#default,_result,,,,,,,
,result,table,_start,_stop,_time,_value,_field,_measurement
,,0,2026-06-15T18:00:00Z,2026-06-15T19:00:00Z,2026-06-15T18:28:00Z,8.03,watts,pdu
,,0,2026-06-15T18:00:00Z,2026-06-15T19:00:00Z,2026-06-15T18:28:01Z,,watts,pdu
,,0,2026-06-15T18:00:00Z,2026-06-15T19:00:00Z,2026-06-15T18:28:02Z,1012.5,watts,pdu
"""
HOME_ASSISTANT = """\
entity_id,state,last_changed
sensor.rack_power,8.03,2026-06-15T18:28:00.000Z
sensor.rack_power,unavailable,2026-06-15T18:28:01.000Z
sensor.rack_power,1012.5,2026-06-15T18:28:02.000Z
"""
KNOWN = {
    "ptdaemon": PTDAEMON, "nvidia-smi": NVIDIA_SMI, "dcgmi-dmon": DCGMI, "nvidia-dmon": NVIDIA_DMON,
    "ipmitool-dcmi": IPMITOOL, "ipmi-dcmi": FREEIPMI, "ear": EAR, "influxdb": INFLUXDB,
    "home-assistant": HOME_ASSISTANT,
}  # fmt: skip


def lines(text: str, **options: object) -> list[Line]:
    """What is read of a log, whose times without a zone are UTC."""
    log = ExternalLog.model_validate({"file": "wall.csv", "zone": "UTC", **options})
    return read(log, text.splitlines(keepends=True))


def read(log: ExternalLog, rows: Sequence[str]) -> list[Line]:
    form = format_of(log, rows[:8])
    readings = [form.line(row.rstrip("\n"), number) for number, row in enumerate(rows, 1)]
    return [line for line in readings if line is not None]


@pytest.mark.parametrize("name", list(KNOWN))
def test_a_known_form_is_recognised_and_its_missing_value_is_a_gap(name: str) -> None:
    log = ExternalLog(file=Path("wall.csv"))
    assert recognised(log, KNOWN[name].splitlines()[:8]) == name
    assert lines(KNOWN[name]) == [Line(AT, 8.03), Line(AT + 1, None), Line(AT + 2, 1012.5)]
    assert lines(KNOWN[name], format=name) == lines(KNOWN[name])


@pytest.mark.parametrize(
    ("header", "value", "watts"),
    [
        ("time,power_w", "412.5", 412.5),
        ("time;power_w", "412,5", 412.5),
        ("time\tpower_w", "412,5", 412.5),
        ("time;power_w", "1.412,5", 1412.5),
        ("time,power_w", '"1,412.5"', 1412.5),
        ("time,Power (kW)", "0.4125", 412.5),
        ("timestamp;Power [kW]", "0,4125", 412.5),
        ("time,power_mW", "412500", 412.5),
        ("time,power_kw", "0.4125", 412.5),
        ("Time,Power (MW)", "0.0004125", 412.5),
        ("Timestamp,Active Power (W)", "412.5", 412.5),
        ("time,Watts", "412.5", 412.5),
        ("time,power_w", "0.4125 kW", 412.5),
        ("time,power_w", "nan", None),
        ("time,power_w", "N/A", None),
        ("time,power_w", "unavailable", None),
        ("time,power_w", "", None),
        ("time;power_w", "1 412,5", 1412.5),
        ("time;power_w", "1\u202f412,5", 1412.5),
        ("time,power_w", "1'412.5", 1412.5),
        ("time,power_w", '"1,234,567"', 1_234_567.0),
        ("time;power_w", "1.234.567", 1_234_567.0),
        ("time,power_w", "0.4125 KW", 412.5),
        ("time,power_w", "412.5w", 412.5),
        ("time,power_uw", "412500000", 412.5),
        ("time,Power [\u00b5W]", "412500000", 412.5),
        ("time,power_w", "ERR!", None),
        ("time,power_w", "nan W", None),
        ("time,power_w", "[Insufficient Permissions]", None),
        ("time,power_w", "[GPU requires reset]", None),
    ],
)
def test_separators_decimal_commas_units_and_missing_values_of_plain_csv(
    header: str, value: str, watts: float | None
) -> None:
    separator = next(mark for mark in "\t;," if mark in header)
    [line] = lines(f"{header}\n2026-06-15T18:28:00Z{separator}{value}\n")
    assert line.at_s == AT
    assert line.power_w == (None if watts is None else pytest.approx(watts))


@pytest.mark.parametrize(
    "header",
    [
        "time,Power (VA)",
        "time,Power [BTU/h]",
        "time,POWER_MW",
        "time,power_va",
        "time,Power kWh",
        "time,power_kvar",
    ],
)
def test_a_unit_that_is_not_clearly_one_of_power_is_asked_for(header: str) -> None:
    with pytest.raises(MeterError, match="power_unit"):
        lines(f"{header}\n{AT},5\n")
    assert lines(f"{header}\n{AT},5\n", power_unit="kW") == [Line(AT, 5000.0)]


def test_a_comma_that_may_be_decimal_or_group_is_not_guessed_and_two_columns_of_one_name_neither() -> None:
    with pytest.raises(MeterError, match="decimal comma, or one between thousands"):
        lines(f'time,power_w\n{AT},"1,412"\n')
    assert lines(f"time;power_w\n{AT};1,412\n") == [Line(AT, 1.412)]
    with pytest.raises(MeterError, match="several columns power_w"):
        lines(f"time,power_w,power_w\n{AT},1,2\n")


def test_a_column_of_units_is_that_of_each_line() -> None:
    text = "entity_id,state,last_changed,unit_of_measurement\nsensor.p,0.4,2026-06-15T18:28:00Z,{}\n"
    assert lines(text.format("kW")) == [Line(AT, 400.0)]
    assert lines(text.format("W")) == [Line(AT, 0.4)]
    with pytest.raises(MeterError, match="has a unit that is not understood"):
        lines(text.format("kWh"))
    assert lines(text.format("kW").replace("0.4", "unavailable")) == [Line(AT, None)]


@pytest.mark.parametrize(
    "written",
    [
        "1781548080", "1781548080,0", "1781548080000", "1781548080000000", "1781548080000000000",
        "2026-06-15 18:28:00 UTC", "2026-06-15 20:28:00 +02:00", "2026-06-15 18:28:00,000", "15.06.2026 18:28:00",
        "15.06.2026 18:28:00,000", "06/15/2026 06:28:00 PM", "15-Jun-2026 18:28:00", "2026-06-15T18:28:00.000000000Z",
    ],
)  # fmt: skip
def test_times_are_read_as_programs_write_them(written: str) -> None:
    [line] = lines(f"time;power_w\n{written};5\n")
    assert line.at_s == pytest.approx(AT, abs=1e-3)


@pytest.mark.parametrize(
    ("title", "written"),
    [
        ("time (min)", "29692468.5"),
        ("timestamp_h", "494874.475"),
        ("Time [s]", "1781548110"),
        ("time_ms", "1781548110000"),
        ("timestamp (ns)", "1781548110000000000"),
        ("time (min)", "2026-06-15T18:28:30Z"),
    ],
)
def test_a_count_is_of_what_its_column_says(title: str, written: str) -> None:
    [line] = lines(f"{title},power_w\n{written},412.5\n")
    assert line.at_s == pytest.approx(AT + 30, abs=1e-3)
    [named] = lines("elapsed_minutes,power_w\n1.5,412.5\n", time_column="elapsed_minutes")
    assert named.at_s == 90


def test_a_date_and_a_time_of_day_may_have_a_column_each() -> None:
    assert lines("Date,Time,Power (W)\n2026-06-15,18:28:00,5\n") == [Line(AT, 5.0)]


def test_what_stands_before_a_log_s_own_words_hides_its_form_from_nobody() -> None:
    assert lines("# logger 1.2\ntime,power_w\n1781548080,5\n") == [Line(AT, 5.0)]
    assert lines('sep=;\n"Time";"Power (kW)"\n2026-06-15 18:28:00;0,4\n') == [Line(AT, 400.0)]
    assert lines("Mon Jun 15 18:28:00 UTC 2026\n" + IPMITOOL)[0] == Line(AT, 8.03)


@pytest.mark.parametrize(
    ("written", "at_s"),
    [
        ("06/15/2026 18:28:00 UTC    Sampling period:                          00000001 Seconds.", AT),
        ("06/15/26 18:28:00 UTC", AT),
        ("06/15/2026 06:28:00 PM EDT    Sampling period:                          00000001 Seconds.", AT),
        ("Unspecified    Sampling period:                          00000001 Seconds.", None),
        ("Pre-Init 00:00:12", None),
    ],
)
def test_a_bmcs_time_is_read_as_each_release_of_ipmitool_writes_it(written: str, at_s: float | None) -> None:
    [line] = lines(
        f"    Instantaneous power reading:                     8.03 Watts\n    IPMI timestamp:  {written}\n"
        "    Power reading state is:                   activated\n"
    )
    assert line == Line(at_s, 8.03)


def test_a_bmcs_time_in_a_zone_that_is_not_this_machines_wants_it_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.tzname", ("CET", "CEST"))
    log = ExternalLog(file=Path("wall.csv"), format="ipmitool-dcmi")
    rows = ["Instantaneous power reading: 8 Watts\n", "IPMI timestamp: 06/15/2026 02:28:00 PM EDT\n"]
    with pytest.raises(
        MeterError, match=r"its time is in EDT, which is not this machine's zone: say which it is"
    ):
        read(log, rows)


def test_times_without_a_year_are_of_the_nearest_one() -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    text = f"#Entity POWER\n{now:%b %d %H:%M:%S} GPU 0 70.5\n"
    assert lines(text) == [Line(now.timestamp(), 70.5)]


def test_what_an_analyser_shows_below_zero_is_no_reading() -> None:
    assert lines("Time,06-15-2026 18:28:00.000,Watts,-0.012000,Volts,230.2\n") == [Line(AT, None)]


def test_local_times_are_put_on_the_calendar_by_the_log_s_zone() -> None:
    berlin = "time,power_w\n2026-06-15 20:28:00,5\n"
    assert lines(berlin, zone="Europe/Berlin") == [Line(AT, 5.0)]
    assert lines(NVIDIA_SMI, zone="Asia/Kolkata")[0].at_s == AT - 5.5 * 3600
    with pytest.raises(MeterError, match="names no zone"):
        lines(berlin, zone=None)
    with pytest.raises(ValidationError, match="no time zone"):
        ExternalLog(file=Path("wall.csv"), zone="Europe/Atlantis")


@pytest.mark.parametrize(
    ("text", "other", "select"),
    [
        (NVIDIA_SMI, "2026/06/15 18:28:02.500, 1, NVIDIA A100-SXM4-80GB, 70.00 W, 0 %\n", "0"),
        (DCGMI, "1781548082.000 GPU 1     70.000 1 60\n", "GPU 0"),
        (NVIDIA_DMON, " 20260615   18:28:02      1     70     60      -\n", "0"),
        ("timestamp,gpu,power_usage\n1781548080,0,150\n", "1781548080,1,151\n", "0"),
        ("time,host,power_w\n1781548080,node7,150\n", "1781548080,node8,151\n", "node7"),
        (EAR, "41;0;node8;70;11.2;90.1;12;1781548082\n", "node7"),
        (HOME_ASSISTANT, "sensor.oven_power,70,2026-06-15T18:28:02.000Z\n", "sensor.rack_power"),
        (INFLUXDB, ",,1,2026-06-15T18:00:00Z,2026-06-15T19:00:00Z,2026-06-15T18:28:02Z,70,watts,ups\n", "0"),
    ],
)
def test_a_log_of_several_devices_is_read_of_the_one_that_is_selected_and_never_mixed(
    text: str, other: str, select: str
) -> None:
    with pytest.raises(MeterError, match="several devices"):
        lines(text + other)
    assert lines(text + other, select=select) == lines(text)


def test_dmon_writes_commas_too_and_without_a_column_of_power_is_refused() -> None:
    commas = "\n".join(",".join(line.split()) for line in NVIDIA_DMON.splitlines())
    assert lines(commas) == lines(NVIDIA_DMON)
    with pytest.raises(MeterError, match=r"line 1: has no column pwr \(nvidia-smi dmon -s p -o DT\)"):
        lines("# gpu     sm    mem\n# Idx      %      %\n    0      5      1\n")


def test_what_select_cannot_select_and_a_first_line_that_is_no_header_are_refused() -> None:
    with pytest.raises(MeterError, match=r"no column that tells devices apart, so that select \(GPU-1\)"):
        lines("time,power_w\n1781548080,5\n", select="GPU-1")
    with pytest.raises(MeterError, match="which is no header: write one before it, such as time,power_w"):
        lines("2026/06/15 18:28:00.000, 0, 8.03 W\n")


def test_a_live_log_in_this_machine_s_own_zone_becomes_readings_and_gaps(tmp_path: Path) -> None:
    path = tmp_path / "smi.csv"
    path.write_text("timestamp, power.draw [W]\n")
    meter = ExternalMeter(ExternalLog(file=path))
    assert meter.read(slow=False) == []
    now = datetime.now(ZoneInfo("UTC")).astimezone()
    with path.open("a") as file:
        file.write(f"{now:%Y/%m/%d %H:%M:%S.%f}, 250.00 W\n{now:%Y/%m/%d %H:%M:%S.%f}, [Unknown Error]\n")
    assert [reading.power_w for reading in meter.read(slow=False)] == [250.0, None]
    meter.close()


def test_a_live_log_in_utf_16_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "smi.csv"
    path.write_text("timestamp, power.draw [W]\n", encoding="utf-16")
    with pytest.raises(MeterError, match="is UTF-16, as PowerShell's > writes it"):
        ExternalMeter(ExternalLog(file=path))


def test_a_log_without_times_is_read_as_of_now_and_what_stood_there_before_is_left_out(
    tmp_path: Path,
) -> None:
    path = tmp_path / "dmon.txt"
    path.write_text("#Entity   POWER\nID        W\nGPU 0     70.000\n")
    meter = ExternalMeter(ExternalLog(file=path))
    assert meter.read(slow=False) == []
    with path.open("a") as file:
        file.write("GPU 0     250.000\n")
    before_ns = time.monotonic_ns()
    [reading] = meter.read(slow=False)
    assert reading.power_w == 250.0
    assert before_ns <= reading.t_ns <= time.monotonic_ns()
    meter.close()


def test_a_long_log_s_header_is_known_though_its_old_lines_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "wall.csv"
    old = "".join(f"{time.time() - 50_000 + place};0,3\n" for place in range(8_000))
    path.write_text("time;Power (kW)\n" + old)
    meter = ExternalMeter(ExternalLog(file=path))
    assert meter.read(slow=False) == []
    with path.open("a") as file:
        file.write(f"{time.time()};0,25\n")
    assert [reading.power_w for reading in meter.read(slow=False)] == [250.0]
    meter.close()
