"""Trace files of arrivals: what is read from them, and what is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.loader import dump_study, load_study
from configs.loads import Open
from configs.recordings import read_recording
from starwatt_errors import UsageError
from tests.support.studies import write_study

OF_A_STUDY = ("qps: 6", "trace: arrivals/day.csv")


@pytest.mark.parametrize(
    "text", ["0\n0.5\n0.5\n2\n", "sep=;\nseconds\n10\n10.5\n\n10.5\n12", "\ufeff1e3\r\n1000.5\r\n1000.5\r\n1002",
     "time (ms)\n0\n500\n500\n2000\n", "arrival_us\n7\n500007\n500007\n2000007\n",
     "1700158623500\n1700158624000\n1700158624000\n1700158625500\n",
     "2023-11-16 18:17:03.5\n2023-11-16 18:17:04\n2023-11-16 19:17:04+01:00\n2023-11-16T18:17:05.5000000Z\n"],
)  # fmt: skip
def test_offsets_count_from_the_first_and_may_be_equal(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    assert read_recording(tmp_path / "a.csv").offsets_ns == (0, 500_000_000, 500_000_000, 2_000_000_000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at least two different offsets"),
        ("1\n", "at least two different offsets"),
        ("1\n1\n", "at least two different offsets"),
        ("0\n2\n1\n", r"a\.csv:3: 1 comes before 2"),
        (
            "0\n604801\n",
            r"a\.csv:2: 604801 is more than a week after the first: takes seconds, not milliseconds",
        ),
        ("0\n1e300\n", r"a\.csv:2: 1e300 is more than a week"),
        ("1\n2023-11-16 18:17:04\n", r"a\.csv:2: takes one offset"),
        ("0\nsoon\n", r"a\.csv:2: takes one offset in seconds a line \(given: 'soon'\)"),
        ("0\n1,5\n", r"a\.csv:2: takes one offset"),
        ("0\nnan\n", r"a\.csv:2: takes one offset"),
        ("0\ninf\n", r"a\.csv:2: takes one offset"),
    ],
)
def test_a_file_that_is_no_schedule_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        read_recording(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("part", "titles"),
    [
        (60 * 10**9, "time_min t(min) minutes elapsedMinutes elapsed_mins Time[Min]"),
        (3600 * 10**9, "hours elapsed_hours t(h) time_hr hrs"),
        (10**6, "timestampMs timestampms arrival_MS time(milliseconds) t[msec] time_millis"),
        (10**3, "t_(\u00b5s) t_(\u03bcs) microseconds arrivalMicros usec"),
        (1, "startNanos nanoseconds time_ns"),
        (10**9, "times offsets seconds arrivals atoms t"),
    ],
)
def test_a_heading_says_what_is_counted_in_any_of_its_usual_spellings(
    tmp_path: Path, part: int, titles: str
) -> None:
    for number, title in enumerate(titles.split()):
        path = tmp_path / f"{number}.csv"
        path.write_text(f"{title}\n0\n5\n", encoding="utf-8")
        assert read_recording(path).offsets_ns == (0, 5 * part), title


def test_a_studys_trace_lies_beside_the_study_and_the_dumped_study_finds_it_from_elsewhere(
    tmp_path: Path,
) -> None:
    (tmp_path / "arrivals").mkdir()
    (tmp_path / "arrivals" / "day.csv").write_text("0\n1\n")
    study = load_study(write_study(tmp_path, OF_A_STUDY))
    load = study.loads[2]
    assert isinstance(load, Open)
    assert load.trace == (tmp_path / "arrivals" / "day.csv").resolve()
    assert load.slug == "open-trace-day"
    elsewhere = tmp_path / "run" / "study.yaml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(dump_study(study), encoding="utf-8")
    assert load_study(elsewhere) == study


@pytest.mark.parametrize(("text", "problem"), [(None, "cannot be read"), ("0\nx\n", "takes one offset")])
def test_a_studys_bad_trace_is_named_with_the_line_of_both_files(
    tmp_path: Path, text: str | None, problem: str
) -> None:
    if text is not None:
        (tmp_path / "arrivals").mkdir()
        (tmp_path / "arrivals" / "day.csv").write_text(text)
    with pytest.raises(UsageError, match=rf"study\.yaml:9: loads\.2\.trace: .*day\.csv.*{problem}"):
        load_study(write_study(tmp_path, OF_A_STUDY))


def test_a_load_with_a_rate_and_a_trace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"loads\.2: an open load takes one of qps and trace"):
        load_study(write_study(tmp_path, ("qps: 6", "qps: 6\n    trace: a.csv")))
