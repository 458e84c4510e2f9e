"""Logs of wall meters and BMCs: what is read of them, on which clock, and what a wrong one gets."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from analysis.energy.device import device_energy
from analysis.energy.integral import read_series
from analysis.energy.sensor import Sensors
from analysis.requests.window import Window
from configs.meters import ExternalLog, Meters
from server.power.logs.external import ExternalMeter
from server.power.meter import Reading
from server.power.meters import choose_sources
from server.power.sidecar import Sidecar
from starwatt_errors import MeterError
from traces.clock import now_ns
from traces.streams import read_trace

SECOND = 1_000_000_000


class Log:
    """A wall meter's program: writes lines to a file."""

    def __init__(self, folder: Path, header: str = "time,power_w\n") -> None:
        self.path = folder / "wall.csv"
        self.path.write_text(header, encoding="utf-8")
        self.closing = ExitStack()

    def write(self, *lines: str, end: str = "\n") -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n".join(lines) + end)

    def settings(self, **options: object) -> ExternalLog:
        return ExternalLog.model_validate({"file": self.path, **options})

    def meter(self, **options: object) -> ExternalMeter:
        meter = ExternalMeter(self.settings(**options))
        self.closing.callback(meter.close)
        return meter


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path)
    with log.closing:
        yield log


def only(meter: ExternalMeter) -> Reading:
    [reading] = meter.read(slow=False)
    return reading


def test_each_line_is_a_reading_at_its_own_time_put_on_our_clock(log: Log) -> None:
    meter = log.meter(clock_offset_s=2.0)
    assert meter.read(slow=True) == []
    written_ns, at_s = now_ns(), time.time()
    log.write(f"{at_s + 2.0:.6f},412.5", "", f"{at_s + 3.0:.6f},500")
    first, second = meter.read(slow=False)
    assert (first.power_w, second.power_w, first.energy_j) == (412.5, 500.0, None)
    assert abs(first.t_ns - written_ns) < SECOND // 4
    assert second.t_ns - first.t_ns == pytest.approx(SECOND, abs=10_000)
    assert meter.read(slow=False) == []
    assert "±" in first.device.note
    assert (first.device.boundary, first.device.source) == ("host", "external")


def test_the_calendar_is_understood_and_a_counter_counts_from_its_first_line(tmp_path: Path) -> None:
    log = Log(tmp_path, "Time, Reading (kWh), Site\n")
    meter = log.meter(
        time_column="Time", power_column=None, energy_column="Reading (kWh)", energy_unit="kWh", device="rack"
    )
    at = datetime.now(UTC).isoformat()
    log.write(f"{at},12.5,hall", f"{at.replace('+00:00', 'Z')},12.501,hall", f"{at},,hall")
    readings = meter.read(slow=False)
    assert [reading.energy_j for reading in readings] == [0.0, pytest.approx(3600.0), None]
    assert {reading.power_w for reading in readings} == {None}
    assert readings[0].device.name == "rack"
    log.closing.close()


def test_a_line_without_its_end_waits_and_lines_from_long_ago_are_left_out(log: Log) -> None:
    log.write(*(f"{time.time() - 20_000 + at},1" for at in range(10_000)))
    log.write(f"{time.time():.3f},300")
    meter = log.meter()
    assert only(meter).power_w == 300.0
    log.write(f"{time.time():.3f},3", end="")
    assert meter.read(slow=False) == []
    log.write("50")
    assert only(meter).power_w == 350.0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{now},abc", "line 2: 'abc' is no number"),
        ("{now},-4", "can be neither watts nor joules"),
        ("{now},inf", "'inf' is no number"),
        ("{now},4 VA", "has a unit that is not understood"),
        ("{now}", "has 1 columns where the header has 2"),
        ("{now},1,2", "has 3 columns"),
        ("yesterday,4", "its time is not understood"),
        ("2026-11-22T12:00:00,4", "names no zone"),
        (",4", "its time is not understood"),
    ],
)
def test_a_line_that_is_no_reading_is_an_error_with_its_number(log: Log, line: str, words: str) -> None:
    meter = log.meter()
    log.write(line.format(now=time.time()))
    with pytest.raises(MeterError, match=words):
        meter.read(slow=False)


def test_what_is_written_while_it_is_read_must_not_be_hours_old(log: Log) -> None:
    meter = log.meter()
    meter.read(slow=False)
    log.write(f"{time.time() - 7200},4")
    with pytest.raises(MeterError, match="2 hours before now"):
        meter.read(slow=False)


def test_a_log_that_is_not_there_is_empty_is_cut_or_lacks_a_column_says_so(log: Log, tmp_path: Path) -> None:
    with pytest.raises(MeterError, match=r"meters\.external names it"):
        ExternalMeter(ExternalLog(file=tmp_path / "nothing.csv"))
    (tmp_path / "empty.csv").touch()
    with pytest.raises(MeterError, match="start what writes it first"):
        ExternalMeter(ExternalLog(file=tmp_path / "empty.csv"))
    with pytest.raises(MeterError, match="has no column watts; its header is 'time,power_w'"):
        log.meter(power_column="watts")
    meter = log.meter()
    log.path.write_text("time", encoding="utf-8")
    with pytest.raises(MeterError, match="was cut"):
        meter.read(slow=False)


def test_a_study_s_file_names_logs_that_can_be_told_apart(log: Log) -> None:
    with pytest.raises(ValidationError, match=r"exactly where meters\.external names a log"):
        Meters(sources=("external",))
    with pytest.raises(ValidationError, match="the same device name"):
        Meters(external=(log.settings(), log.settings()))
    with pytest.raises(ValidationError, match="power_column, an energy_column or both"):
        log.settings(power_column=None)
    assert choose_sources(Meters(external=(log.settings(),)))[-1] == "external"


def test_joules_at_the_wall_through_the_real_sidecar(log: Log, tmp_path: Path) -> None:
    """A hundred watts more after every tenth of a second; the log's clock is five seconds ahead."""
    stop = threading.Event()
    watts = [200.0 + 100.0 * (at % 4) for at in range(200)]
    begun_s, begun_ns = time.time(), now_ns()

    def write() -> None:
        for at, power_w in enumerate(watts):
            if stop.wait(max(0.0, begun_s + 0.1 * (at + 1) - time.time())):
                return
            log.write(f"{begun_s + 0.1 * (at + 1) + 5.0:.6f},{power_w}")

    writer = threading.Thread(target=write)
    writer.start()
    settings = Meters(
        sources=("external",), external=(log.settings(clock_offset_s=5.0, clock_uncertainty_s=0.005),)
    )
    try:
        with Sidecar.start(tmp_path, settings, engine_pid=None) as sidecar:
            assert [device["name"] for device in sidecar.devices] == ["wall"]
            time.sleep(4.0)
    finally:
        stop.set()
        writer.join()
    [series] = read_series(read_trace(tmp_path, "power"))
    first, last = 5, int((series.t_ns[-1] - begun_ns) / SECOND * 10) - 5
    window = Window(begun_ns + first * SECOND // 10, begun_ns + last * SECOND // 10)
    energy = device_energy(series, window, Sensors({}, settings))
    assert energy.reasons == ()
    assert energy.energy_j == pytest.approx(0.1 * sum(watts[first:last]), rel=0.02)
    assert energy.error_j is not None
    vague = settings.model_copy(update={"external": (log.settings(clock_uncertainty_s=1.0),)})
    assert "clock_uncertain" in device_energy(series, window, Sensors({}, vague)).reasons


def test_a_log_that_is_replaced_or_removed_while_it_is_read_is_told(log: Log) -> None:
    log.write(f"{time.time()},100")
    meter = log.meter()
    other = log.path.with_name("other.csv")
    other.write_text("time,power_w\n" + "1,1\n" * 50)
    other.rename(log.path)
    with pytest.raises(MeterError, match=r"wall\.csv: was cut or written anew"):
        meter.read(slow=False)
    log.path.unlink()
    with pytest.raises(MeterError, match=r"wall\.csv: cannot be read any more: No such file"):
        meter.read(slow=False)


def test_a_line_that_is_no_csv_at_all_is_told(log: Log) -> None:
    meter = log.meter()
    log.write("x" * 200_000)
    with pytest.raises(MeterError, match=r"wall\.csv, line 2: is no CSV"):
        meter.read(slow=False)


def smi(rounds: int, boards: int, apart_s: float, *, ago_s: float) -> list[str]:
    """Lines of nvidia-smi, which asks each board every 0.25 s, one after the other."""
    begun_s = time.time() - ago_s
    asked = [(number * 0.25 + board * apart_s, board) for number in range(rounds) for board in range(boards)]
    dated = [(datetime.fromtimestamp(begun_s + at_s, UTC), board) for at_s, board in asked]
    return [f"{at:%Y/%m/%d %H:%M:%S.%f}, {70 + board}.25 W" for at, board in dated]


@pytest.mark.parametrize("boards", [2, 8])
@pytest.mark.parametrize("apart_s", [0.0, 0.004])
def test_several_boards_that_no_column_tells_apart_are_told_before_or_while_they_are_recorded(
    tmp_path: Path, boards: int, apart_s: float
) -> None:
    log = Log(tmp_path, "timestamp, power.draw [W]\n")
    told = "has several readings at each time, and no column says of which device"
    with log.closing:
        growing = log.meter(zone="UTC")
        for line in (lines := smi(40, boards, apart_s, ago_s=5.0))[:-1]:
            log.write(line)
        with pytest.raises(MeterError, match=told):
            growing.read(slow=False)
        log.write(lines[-1])
        with pytest.raises(MeterError, match=told):
            log.meter(zone="UTC").read(slow=False)


def test_one_board_s_log_goes_on_being_read(tmp_path: Path) -> None:
    log = Log(tmp_path, "timestamp, power.draw [W]\n")
    with log.closing:
        meter = log.meter(zone="UTC")
        for line in smi(40, 1, 0.0, ago_s=5.0):
            log.write(line)
            assert len(meter.read(slow=False)) == 1


def test_a_meter_that_is_read_twice_in_each_whole_second_of_its_log_is_one(log: Log) -> None:
    begun_s = int(time.time()) - 15
    meter = log.meter()
    log.write(*(f"{begun_s + number // 2},{100 + number}" for number in range(60)))
    assert len(meter.read(slow=False)) > 20
