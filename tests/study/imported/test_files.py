"""Files of requests in every form and state: read, or refused in one message that says what to do."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from starwatt_errors import UsageError
from study.imported.files import read_loads
from study.imported.requests import ImportedLoad
from tests.study.imported.captured_files import AIPERF, GUIDELLM, VLLM

Change = Callable[[dict[str, Any]], None]


def changed(path: Path, tmp_path: Path, change: Change) -> Path:
    """The first object of a captured file, changed, as a file of its own."""
    data = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    change(data)
    return written(tmp_path / path.name, json.dumps(data))


def written(path: Path, text: str) -> Path:
    """A file with this text."""
    path.write_text(text, encoding="utf-8")
    return path


def only(path: Path) -> ImportedLoad:
    """The one load of a file."""
    [load] = read_loads(path, None)
    return load


def test_a_failed_request_of_vllm_bench_has_its_words_and_no_times_that_it_does_not_have(
    tmp_path: Path,
) -> None:
    def fail(data: dict[str, Any]) -> None:
        data["errors"][3], data["ttfts"][3], data["itls"][3], data["latencies"][3] = (
            "Bad Gateway",
            0.0,
            [],
            0.0,
        )
        data["output_lens"][3] = 0

    failed = only(changed(VLLM.requests, tmp_path, fail)).requests[3]
    assert (failed.status, failed.error) == ("failed", "Bad Gateway")
    assert failed.sent_ns is not None
    assert (failed.end_ns, failed.first_token_ns, failed.output_tokens, failed.chunk_ns) == (
        None,
        None,
        None,
        (),
    )


@pytest.mark.parametrize(
    ("traffic", "slug"),
    [
        ({"max_concurrency": 1}, "single-stream"),
        ({"max_concurrency": 8}, "closed-8"),
        ({"max_concurrency": None, "request_rate": 4}, "open-4-poisson"),
        ({"max_concurrency": 8, "request_rate": 4.5}, "open-4.5-poisson-most-8"),
        ({"max_concurrency": None, "request_rate": 4, "burstiness": 0.5}, None),
        ({"max_concurrency": None}, None),
        ({"ramp_up_strategy": "linear"}, None),
        ({"max_concurrency": None, "request_rate": 0}, None),
        ({"max_concurrency": 10**9}, None),
    ],
)
def test_the_load_of_vllm_bench_is_named_as_ours_are_where_we_have_a_word_for_it(
    tmp_path: Path, traffic: dict[str, Any], slug: str | None
) -> None:
    load = only(changed(VLLM.requests, tmp_path, lambda data: data.update(traffic))).load
    assert (load.slug if load else None) == slug


def test_results_that_vllm_bench_appended_are_loads_of_their_own(tmp_path: Path) -> None:
    line = VLLM.requests.read_text(encoding="utf-8").strip()
    assert len(read_loads(written(tmp_path / "all.json", f"{line}\n{line}"), None)) == 2


def test_an_older_vllm_bench_without_latencies_reads_the_same(tmp_path: Path) -> None:
    def older(data: dict[str, Any]) -> None:
        del data["latencies"], data["queue_times"]

    assert only(changed(VLLM.requests, tmp_path, older)) == only(VLLM.requests)


def test_a_schedule_of_guidellm_is_when_requests_were_due_and_asap_is_none(tmp_path: Path) -> None:
    def constant(data: dict[str, Any]) -> None:
        data["benchmarks"][0]["config"]["strategy"] = {"type_": "constant", "rate": 3.5}

    load = only(changed(GUIDELLM.requests, tmp_path, constant))
    assert load.load is not None
    assert load.load.slug == "open-3.5-constant"
    assert all(request.due_ns is not None for request in load.requests)
    assert only(GUIDELLM.requests).requests[0].due_ns is None


def test_each_benchmark_of_a_sweep_is_a_load(tmp_path: Path) -> None:
    def sweep(data: dict[str, Any]) -> None:
        second = json.loads(json.dumps(data["benchmarks"][0]))
        second["config"]["strategy"] = {"type_": "synchronous"}
        data["benchmarks"].append(second)

    loads = read_loads(changed(GUIDELLM.requests, tmp_path, sweep), None)
    assert [load.load.slug if load.load else None for load in loads] == ["closed-4", "single-stream"]


def test_a_report_of_guidellm_0_3_reads_by_its_own_fields(tmp_path: Path) -> None:
    told = {
        "start_time": 1e9,
        "first_token_time": 1e9 + 0.25,
        "last_token_time": 1e9 + 2,
        "end_time": 1e9 + 2.1,
    }
    request = {**told, "prompt_tokens": 5, "output_tokens": 9, "output": "x"}
    failed = {"start_time": 1e9, "end_time": 1e9 + 1, "error": "timed out", "prompt_tokens": 5}
    requests = {"successful": [request], "errored": [failed], "incomplete": []}
    report = {
        "benchmarks": [{"args": {"strategy": {"type_": "concurrent", "streams": 2}}, "requests": requests}]
    }
    load = only(written(tmp_path / "old.json", json.dumps(report)))
    good, bad = load.requests
    assert (good.first_token_ns, good.end_ns) == (1_000_000_000_250_000_000, 1_000_000_002_000_000_000)
    assert (bad.status, bad.error, load.version) == ("failed", "timed out", None)


def test_what_guidellm_cut_off_is_filler_with_the_tokens_that_had_come(tmp_path: Path) -> None:
    def cut(data: dict[str, Any]) -> None:
        requests = data["benchmarks"][0]["requests"]
        moved = requests["successful"].pop()
        moved["output_tokens"], moved["info"]["timings"]["token_iterations"] = None, 7
        requests["incomplete"].append(moved)

    last = only(changed(GUIDELLM.requests, tmp_path, cut)).requests[-1]
    assert (last.status, last.role, last.output_tokens) == ("aborted", "filler", 7)


def test_records_of_aiperf_keep_errors_phases_and_units(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in AIPERF.requests.read_text(encoding="utf-8").splitlines()[:4]]
    lines[0]["metadata"]["benchmark_phase"] = "warmup"
    lines[1]["metrics"], lines[1]["error"] = {}, {"code": 503, "type": "HTTP", "message": "overloaded"}
    lines[2]["metadata"]["was_cancelled"] = True
    for name in ("time_to_first_token", "inter_chunk_latency"):
        metric = lines[3]["metrics"][name]
        value = metric["value"]
        metric["value"] = [each / 1e3 for each in value] if isinstance(value, list) else value / 1e3
        metric["unit"] = "sec"
    warm, failed, cut, seconds = only(
        written(tmp_path / "a.jsonl", "\n".join(map(json.dumps, lines)))
    ).requests
    assert warm.role == "warmup"
    assert (failed.status, failed.http_status, failed.error) == ("http_error", 503, "overloaded")
    assert (cut.status, cut.role) == ("aborted", "filler")
    same = only(AIPERF.requests).requests[3]
    assert seconds.end_ns == pytest.approx(same.end_ns, abs=10)
    assert len(seconds.chunk_ns) == 48


def test_a_csv_file_takes_what_it_has_and_leaves_the_rest_null(tmp_path: Path) -> None:
    text = (
        "start;end;prompt_tokens;colour;due;status;error\n"
        "2026-11-26T09:30:00.25Z;2026-11-26T10:30:01+01:00;12;red;;;\n"
        "1795685400.5;;;blue;1795685400.25;timeout;gave up\n"
    )
    good, bad = only(written(tmp_path / "r.csv", text)).requests
    assert good.sent_ns == 1_795_685_400_250_000_000
    assert good.end_ns == 1_795_685_401_000_000_000
    assert (good.status, good.prompt_tokens, good.output_tokens, good.first_token_ns) == (
        "ok",
        12,
        None,
        None,
    )
    assert (bad.status, bad.error, bad.due_ns) == ("timeout", "gave up", 1_795_685_400_250_000_000)


ROWS = "start,end,output_tokens\n1795685400,1795685401.5,7\n1795685402,1795685403,8\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("r.csv.gz", gzip.compress(ROWS.encode())),
        ("r.csv", ROWS.encode("utf-16")),
        ("r.csv", ROWS.replace(",", "\t").encode("utf-16")),
        ("r.csv", ("\ufeffsep=;\r\n" + ROWS.replace(",", ";").replace("1.5", "1,5")).encode()),
        ("r.csv", ("# of the staging host\n\n# two requests\n" + ROWS).encode()),
        ("r.csv", ("# of the staging host, 26 November\n" + ROWS).encode()),
        ("r.csv", ROWS.replace(",", "|").encode()),
    ],
)
def test_a_csv_file_may_be_packed_in_utf_16_or_begin_with_remarks(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    first, second = only(tmp_path / name).requests
    assert (first.sent_ns, first.end_ns) == (1_795_685_400 * 10**9, 17_956_854_015 * 10**8)
    assert (first.output_tokens, second.output_tokens) == (7, 8)


def test_a_wrong_line_is_named_by_its_number_in_the_file_whatever_stands_before_the_header(
    tmp_path: Path,
) -> None:
    for text in (f"# here\n\n{ROWS}soon,1,2\n", "# nothing else\n\n"):
        (tmp_path / "r.csv").write_text(text)
        words = "line 6: start 'soon' is no time" if "soon" in text else "has no column start, end"
        with pytest.raises(UsageError, match=words):
            read_loads(tmp_path / "r.csv", None)


def test_counts_are_read_as_pandas_writes_them_where_one_is_missing(tmp_path: Path) -> None:
    text = "start,end,output_tokens\n1795685400,1795685401,20.0\n1795685401,1795685402,\n"
    requests = only(written(tmp_path / "r.csv", text)).requests
    assert [request.output_tokens for request in requests] == [20, None]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("empty.json", "  \n", "is empty"),
        ("cut.json", '{"model_id": "m", "num_prompts": 3, "start_t', "no whole JSON"),
        ("cut.jsonl", '{"metadata": {}, "metrics": {}}\n{"metad', "line 2: is no whole JSON"),
        ("sums.json", '{"model_id": "m", "num_prompts": 3, "duration": 2}', "--save-detailed"),
        ("aiperf.json", '{"aiperf_version": "0.13.0", "request_count": {}}', "profile_export.jsonl"),
        ("other.json", '{"results": []}', "no result of vllm bench serve"),
        ("list.json", "[1, 2]", "no result of vllm bench serve"),
        ("none.json", '{"benchmarks": []}', "has no benchmark"),
        ("words.csv", "a,b\n1,2\n", "has no column start, end"),
        ("header.csv", "start,end\n", "no requests"),
        (
            "zone.csv",
            "start,end\n2026-11-26 09:30:00,2026-11-26 09:30:01\n",
            "line 2: start .* names no zone",
        ),
        ("count.csv", "start,end,output_tokens\n1,2,3.5\n", "line 2: output_tokens '3.5'"),
        ("late.csv", "start,end\n50000000000,50000000001\n", "is no time: it takes seconds since 1970"),
        ("many.csv", "start,end,output_tokens\n1,2,99999999999\n", "no number of tokens"),
        ("short.csv", "start,end,output_tokens\n1,2\n", "line 2: has another number of columns"),
        ("status.csv", "start,end,status\n1,2,fine\n", "status 'fine' is none of ok"),
        ("twice.csv", "start,end,start\n1,2,3\n", "has several columns start: give each"),
        (
            "year.csv",
            "start,end\n0001-01-01 00:00:00Z,2026-11-26 09:30:01Z\n",
            "line 2: start .* its year is none",
        ),
        ("end.csv", "start,end,status\n1,,ok\n", "start and end are needed"),
    ],
)
def test_a_file_that_is_of_no_use_says_so_and_what_to_do(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        read_loads(written(tmp_path / name, text), None)
    assert str(tmp_path / name) in str(refused.value)


def test_columns_are_known_by_their_names_in_capitals_too(tmp_path: Path) -> None:
    [request] = only(
        written(tmp_path / "r.csv", "Start,End,Output_Tokens\n1795685400,1795685401,7\n")
    ).requests
    assert (request.sent_ns, request.output_tokens) == (1_795_685_400 * 10**9, 7)


def test_bytes_that_are_no_text_and_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(UsageError, match="is no text"):
        read_loads(tmp_path / "b.json", None)
    with pytest.raises(UsageError, match="cannot be read"):
        read_loads(tmp_path, None)


@pytest.mark.parametrize(
    ("captured", "change", "words"),
    [
        (VLLM, lambda data: data.pop("start_times"), "has no start_times"),
        (VLLM, lambda data: data["ttfts"].pop(), "different lengths"),
        (VLLM, lambda data: data.update(ttfts=["soon"] * 32), "ttfts.0: .*known here"),
        (VLLM, lambda data: data["start_times"].__setitem__(0, 1e300), "start_times.0: "),
        (VLLM, lambda data: data["output_lens"].__setitem__(0, -1), "output_lens.0: "),
        (AIPERF, lambda data: data["metadata"].update(request_end_ns=10**30), "metadata.request_end_ns: "),
        (GUIDELLM, lambda data: data["benchmarks"][0]["requests"]["successful"].pop(), "keeps 31 of its 32"),
        (GUIDELLM, lambda data: data["benchmarks"][0].update(requests={"successful": [3]}), "successful.0: "),
        (AIPERF, lambda data: data["metadata"].pop("request_start_ns"), "metadata.request_start_ns"),
        (
            AIPERF,
            lambda data: data["metrics"]["time_to_first_token"].update(unit="fortnights"),
            "unit 'fortnights'",
        ),
    ],
    ids=lambda given: given if isinstance(given, str) else getattr(given, "name", "changed"),
)
def test_a_file_of_another_version_is_refused_by_the_field(
    tmp_path: Path, captured: Any, change: Change, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        read_loads(changed(captured.requests, tmp_path, change), None)
