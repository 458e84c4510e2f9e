"""Hourly prices and carbon in the forms in which exchanges and operators of grids hand them out."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from analysis.results.dates import is_month_first
from analysis.results.hourly import Hourly, read_hourly
from starwatt_errors import UsageError

ELECTRICITYMAPS = (
    "Datetime (UTC),Country,Zone name,Zone id,Carbon intensity gCO₂eq/kWh (direct),"
    "Carbon intensity gCO₂eq/kWh (Life cycle),Carbon-free energy percentage (CFE%)\n"
    "2026-11-26 09:00:00,Germany,Germany,DE,350.5,400.25,45\n"
    "2026-11-26 10:00:00,Germany,Germany,DE,300,,50\n"
    "2026-11-26 11:00:00,Germany,Germany,DE,200,260,55\n"
)
PRICES = {
    "iso times with offsets": "time,price (EUR/MWh)\n2026-11-26T10:00:00+01:00,80.5\n2026-11-26T11:00:00+01:00,-3.25\n",
    "ENTSO-E": '"MTU (CET/CEST)","Area","Sequence","Day-ahead Price (EUR/MWh)"\n'
    '"26/11/2026 10:00:00 - 26/11/2026 11:00:00","BZN|DE-LU","Sequence 1","80.5"\n'
    '"26/11/2026 11:00:00 - 26/11/2026 12:00:00","BZN|DE-LU","Sequence 1","-3.25"\n',
    "ENTSO-E, tabs": "DateTime(UTC)\tResolutionCode\tAreaCode\tPrice[EUR/MWh]\tUpdateTime(UTC)\n"
    "2026-11-26 09:00:00.000\tPT60M\t10Y\t80.5\t2026-11-25 12:00:00\n"
    "2026-11-26 10:00:00.000\tPT60M\t10Y\t-3.25\t2026-11-25 12:00:00\n",
    "SMARD": "\ufeffDatum von;Datum bis;Deutschland/Luxemburg [€/MWh] Originalauflösungen\n"
    "26.11.2026 10:00;26.11.2026 11:00;80,5\n26.11.2026 11:00;26.11.2026 12:00;-3,25\n",
    "Nord Pool, later first": "Delivery Start (CET);Delivery End (CET);DK1 (EUR/MWh)\n"
    "26.11.2026 11:00:00;26.11.2026 12:00:00;-3,25\n26.11.2026 10:00:00;26.11.2026 11:00:00;80,5\n",
    "seconds since 1970": "unix time;price (ct/kWh)\n1795683600;8,05\n1795687200;-0,325\n",
    "milliseconds since 1970": "start_timestamp;price (EUR/MWh)\n1795683600000;80,5\n1795687200000;\u22123,25\n",
}


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def read(
    folder: Path, text: str, *, carbon: bool = False, column: str = "", zone: str | None = None
) -> Hourly:
    file = folder / "series.csv"
    file.write_text(text, encoding="utf-8")
    return read_hourly("--price", f"{file}{column}", zone, carbon=carbon)


@pytest.mark.parametrize("form", PRICES)
def test_a_price_is_read_in_every_form(form: str, tmp_path: Path) -> None:
    prices = read(tmp_path, PRICES[form], zone="Europe/Berlin")
    cents = 100 if prices.unit == "ct" else 1
    assert prices.unit in ("EUR", "€", "ct")
    assert prices.start_s.tolist() == [at("2026-11-26T09:00Z"), at("2026-11-26T10:00Z")]
    assert prices.end_s.tolist() == [at("2026-11-26T10:00Z"), at("2026-11-26T11:00Z")]
    assert prices.per_wh / cents == pytest.approx([80.5e-6, -3.25e-6])


def test_carbon_of_one_of_several_columns_is_named_and_an_hour_without_a_value_is_a_hole(
    tmp_path: Path,
) -> None:
    prices = read(tmp_path, ELECTRICITYMAPS, carbon=True, column=":life cycle")
    assert prices.unit == "gCO2e"
    assert prices.per_wh == pytest.approx([0.40025, 0.26])
    with pytest.raises(
        UsageError, match="has no value for all of 2026-11-26 09:30 UTC to 2026-11-26 10:30 UTC"
    ):
        prices.pieces(at("2026-11-26T09:30Z"), at("2026-11-26T10:30Z"))
    direct = read(tmp_path, ELECTRICITYMAPS, carbon=True, column=":direct")
    edges_s, per_wh = direct.pieces(at("2026-11-26T09:30Z"), at("2026-11-26T11:15Z"))
    assert np.diff(edges_s).tolist() == [1800, 3600, 900]
    assert per_wh == pytest.approx([0.3505, 0.3, 0.2])


@pytest.mark.parametrize(
    ("dates", "first"),
    [
        (["11/25/2026", "11/26/2026"], "2026-11-25"),
        (["25/11/2026", "26/11/2026"], "2026-11-25"),
        (["11/01/2026", "11/02/2026", "11/03/2026"], "2026-11-01"),
        (["01/11/2026", "02/11/2026", "03/11/2026"], "2026-11-01"),
        (["1/12/2026", "1/13/2026"], "2026-01-12"),
        (["11/11/2026"], "2026-11-11"),
    ],
)
def test_whether_the_day_or_the_month_comes_first_is_told_by_all_dates_together(
    dates: list[str], first: str, tmp_path: Path
) -> None:
    lines = "".join(f"{day} {hour:02d}:00,{hour}\n" for day in dates for hour in range(24))
    prices = read(tmp_path, f"time,price (USD/MWh)\n{lines}", zone="UTC")
    assert prices.start_s[0] == at(f"{first}T00:00Z")
    assert set(np.diff(prices.start_s)) == {3600.0}


@pytest.mark.parametrize(
    ("day", "next_day", "last"),
    [
        ("05/05/2026", "05/06/2026", "2026-05-05T23:00Z"),
        ("06/05/2026", "07/05/2026", "2026-05-06T23:00Z"),
        ("11/10/2026", "11/11/2026", "2026-11-10T23:00Z"),
    ],
)
@pytest.mark.parametrize(("title", "between"), [("start,end", ","), ("time", " - ")])
def test_the_end_of_a_day_tells_too_whether_the_day_or_the_month_comes_first(
    title: str, between: str, day: str, next_day: str, last: str, tmp_path: Path
) -> None:
    ends = [*(f"{day} {hour:02d}:00" for hour in range(1, 24)), f"{next_day} 00:00"]
    lines = "".join(f"{day} {hour:02d}:00{between}{end},{hour}\n" for hour, end in enumerate(ends))
    prices = read(tmp_path, f"{title},price (USD/MWh)\n{lines}", zone="UTC")
    assert (prices.start_s[-1], prices.end_s[-1]) == (at(last), at(last) + 3600)


@pytest.mark.parametrize("month_first", [False, True])
@pytest.mark.parametrize(
    "days", [[(1, 1), (2, 1), (3, 1), (1, 6), (2, 6)], [(3, 11), (4, 11), (6, 11)], [(3, 11), (5, 11)]]
)
def test_days_and_months_that_are_missing_do_not_change_how_dates_are_read(
    days: list[tuple[int, int]], month_first: bool
) -> None:
    texts = [f"{month}/{day}/2026" if month_first else f"{day}/{month}/2026" for day, month in days]
    for ordered in (texts, texts[::-1]):
        assert is_month_first(ordered) is month_first


@pytest.mark.parametrize("title", ["Interval End", "end_utc", "interval_end_utc", "Datum bis"])
def test_a_line_lasts_until_the_end_that_a_column_of_it_says(title: str, tmp_path: Path) -> None:
    lines = "".join(f"2026-11-26T{hour:02d}:00Z,2026-11-26T{hour + 1:02d}:00Z,{hour}\n" for hour in (3, 6, 9))
    prices = read(tmp_path, f"interval_start_utc,{title},price (USD/MWh)\n{lines}")
    assert (prices.end_s - prices.start_s).tolist() == [3600.0] * 3


def test_hours_of_the_morning_and_of_the_afternoon_are_twelve_apart(tmp_path: Path) -> None:
    text = "Date/Time,LMP ($/MWh)\n11/26/2026 01:00:00 AM,1\n11/26/2026 12:00:00 PM,2\n11/26/2026 01:00:00 PM,3\n"
    prices = read(tmp_path, text, zone="America/Chicago")
    assert [(start - prices.start_s[0]) / 3600 for start in prices.start_s] == [0, 11, 12]


def test_the_hour_that_comes_twice_as_summer_time_ends_is_two_hours(tmp_path: Path) -> None:
    hours = ["01:00", "02:00", "02:00", "03:00"]
    lines = "".join(f"25.10.2026 {hour};{k},0\n" for k, hour in enumerate(hours))
    prices = read(tmp_path, f"Zeit (MEZ/MESZ);Preis (EUR/MWh)\n{lines}")
    assert np.diff(prices.start_s).tolist() == [3600.0] * 3
    assert prices.start_s[0] == at("2026-10-25T01:00+02:00")


def test_marks_of_summer_time_say_which_of_two_hours_it_is(tmp_path: Path) -> None:
    spans = ["01:00:00 (CEST) - 25/10/2026 02:00:00 (CEST)", "02:00:00 (CEST) - 25/10/2026 02:00:00 (CET)",
             "02:00:00 (CET) - 25/10/2026 03:00:00 (CET)", "03:00:00 (CET) - 25/10/2026 04:00:00 (CET)"]  # fmt: skip
    lines = [f'"25/10/2026 {span}","{k}"\n' for k, span in enumerate(spans)]
    for ordered in (lines, lines[::-1]):
        prices = read(tmp_path, '"MTU (CET/CEST)","Day-ahead Price (EUR/MWh)"\n' + "".join(ordered))
        assert prices.start_s.tolist() == [at("2026-10-25T01:00+02:00") + 3600 * k for k in range(4)]
        assert (prices.end_s - prices.start_s).tolist() == [3600.0] * 4
        assert prices.per_wh == pytest.approx([0, 1e-6, 2e-6, 3e-6])


@pytest.mark.parametrize("falling", [False, True])
def test_later_first_the_hour_that_comes_twice_is_two_hours_too(falling: bool, tmp_path: Path) -> None:
    lines = [f"25.10.2026 {hour};{k}\n" for k, hour in enumerate(["01:00", "02:00", "02:00", "03:00"])]
    prices = read(
        tmp_path, "time;p (EUR/MWh)\n" + "".join(lines[::-1] if falling else lines), zone="Europe/Berlin"
    )
    assert prices.start_s.tolist() == [at("2026-10-25T01:00+02:00") + 3600 * k for k in range(4)]
    assert prices.per_wh == pytest.approx([0, 1e-6, 2e-6, 3e-6])


@pytest.mark.parametrize("line", ["", "29/03/2026 02:00,n/e\n"])
def test_the_hour_that_is_left_out_as_summer_time_begins_may_stand_there_without_a_value(
    line: str, tmp_path: Path
) -> None:
    text = f"time,p (EUR/MWh)\n29/03/2026 01:00,1\n{line}29/03/2026 03:00,3\n29/03/2026 04:00,4\n"
    prices = read(tmp_path, text, zone="Europe/Berlin")
    assert prices.start_s.tolist() == [at("2026-03-29T00:00Z") + 3600 * k for k in range(3)]
    without = text.replace(line, "").replace("29/03/2026 03:00,3", "29/03/2026 02:00,2")
    with pytest.raises(UsageError, match=r"line 3: '29/03/2026 02:00' is no time of Europe/Berlin.*UTC\+1"):
        read(tmp_path, without, zone="Europe/Berlin")
    as_it_says = read(tmp_path, without.replace("time", "time (UTC+1)"), zone="Europe/Berlin")
    assert as_it_says.start_s[1] == at("2026-03-29T01:00Z")


@pytest.mark.parametrize(
    ("title", "east"),
    [("Date (GMT+1)", "+01:00"), ("Time (UTC+02:00)", "+02:00"), ("Time UTC-5", "-05:00"),
     ("Time (UTC-03:30)", "-03:30"), ("Time (GMT)", "+00:00"), ("Datum (CET)", "+01:00"),
     ("Time UTC-30min", "+00:00")],
)  # fmt: skip
def test_hours_east_or_west_in_the_title_of_the_times_count(title: str, east: str, tmp_path: Path) -> None:
    prices = read(tmp_path, f"{title},p (EUR/MWh)\n2026-01-26 09:00,1\n", zone="Asia/Tokyo")
    assert prices.start_s.tolist() == [at(f"2026-01-26T09:00{east}")]


def test_a_line_lasts_no_longer_than_most_where_the_next_one_is_missing(tmp_path: Path) -> None:
    prices = read(
        tmp_path, "start,p (EUR/MWh)\n2026-01-26T01:00Z,1\n2026-01-26T02:00Z,2\n2026-01-26T05:00Z,3\n"
    )
    assert (prices.end_s - prices.start_s).tolist() == [3600.0] * 3


@pytest.mark.parametrize("title", ["start_utc", "HourUTC", "Datetime (UTC)", "utc_timestamp"])
def test_a_column_that_says_utc_in_its_title_is_of_utc_whatever_the_zone_of_others(
    title: str, tmp_path: Path
) -> None:
    prices = read(tmp_path, f"{title},price (EUR/MWh)\n2026-11-26 09:00,1\n", zone="Europe/Berlin")
    assert prices.start_s.tolist() == [at("2026-11-26T09:00Z")]


@pytest.mark.parametrize("unit", ["g/kWh", "g CO2/kWh", "g CO₂ eq/kWh", "kgCO2e/MWh", "gCO2eq per kWh"])
def test_a_unit_of_carbon_is_read_as_it_is_written_and_is_no_money(unit: str, tmp_path: Path) -> None:
    text = f"time,carbon ({unit}),price (EUR/MWh)\n2026-11-26T09:00Z,350,80\n"
    assert read(tmp_path, text, carbon=True).per_wh == pytest.approx([0.35])
    assert read(tmp_path, text).unit == "EUR"


def test_quarters_of_an_hour_are_as_long_as_they_are(tmp_path: Path) -> None:
    lines = "".join(f"2026-11-26T09:{minute:02d}Z,{minute}\n" for minute in (0, 15, 30, 45))
    prices = read(tmp_path, f"start,price (USD/kWh)\n{lines}")
    assert (prices.end_s - prices.start_s).tolist() == [900.0] * 4
    assert prices.per_wh == pytest.approx([0, 0.015, 0.03, 0.045])


WRONG = {
    "no column names its unit: title it as in time,price": "time,price\n2026-11-26T09:00Z,1\n",
    "names no zone: say it by --zone": "time,price (EUR/MWh)\n2026-11-26 09:00,1\n",
    "line 3: 'price \\(EUR/MWh\\)' takes a number": "time,price (EUR/MWh)\n2026-11-26T09:00Z,1\n2026-11-26T10:00Z,x\n",
    "line 2: .* may have a decimal comma, or one between thousands": "time,price (EUR/MWh)\n"
    '2026-11-26T09:00Z,"1,234"\n',
    "line 2: 'noon' is no time that is known": "time,price (EUR/MWh)\nnoon,1\n",
    "has 2026-11-26 09:00 UTC twice": "time,area,price (EUR/MWh)\n2026-11-26T09:00Z,A,1\n2026-11-26T09:00Z,B,1\n",
    "say which column": "time,A (EUR/MWh),B (EUR/MWh)\n2026-11-26T09:00Z,1,2\n",
    "takes a header and a line a time": "time,price (EUR/MWh)\n",
    "takes columns of times and values": "price\n1\n",
    "no line has a value": "time,price (EUR/MWh)\n2026-11-26T09:00Z,n/e\n",
    "03/04/2026 may have the day first or the month": "time,price (EUR/MWh)\n03/04/2026 09:00,1\n03/04/2026 10:00,1\n",
    "11/01/2026 may have the day first or the month": "time,price (EUR/MWh)\n11/01/2026 09:00,1\n11/02/2026 09:00,1\n"
    "12/01/2026 09:00,1\n",
    "line 2: '13/14/2026 09:00' is no time": "time,price (EUR/MWh)\n13/14/2026 09:00,1\n",
    "line 2: '0001-01-01T00:00' is no time that is known": "time,price (EUR/MWh)\n0001-01-01T00:00,1\n",
    "line 2: '9999-12-31T23:00Z' is no time": "time,price (EUR/MWh)\n9999-12-31T23:00Z,1\n",
    "no column names its unit": "time,MOER (lbs CO2/MWh),other (lb/MWh)\n2026-11-26T09:00Z,950,1\n",
    "line 2: has 1 columns": "time,price (EUR/MWh)\n2026-11-26T09:00Z\n",
}


@pytest.mark.parametrize("words", WRONG)
def test_what_is_no_series_or_could_be_several_is_refused_in_words(words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        read(tmp_path, WRONG[words])


def test_carbon_below_nothing_and_a_file_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="takes what is not below 0"):
        read(tmp_path, "time,carbon (gCO2e/kWh)\n2026-11-26T09:00Z,-1\n", carbon=True)
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_hourly("--carbon", str(tmp_path / "none.csv"), None, carbon=True)
