"""Recordings with lengths as Azure, BurstGPT, Mooncake and Alibaba publish theirs, and what is odd in such files."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from configs.loader import load_study
from configs.loads import Open
from configs.recordings import Lengths, Recording, read_recording
from starwatt_errors import UsageError
from tests.support.studies import write_study

MS = 1_000_000
AZURE_2023 = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319600,3180,8
2023-11-16 18:17:04.0319600,3180,8
"""
AZURE_2024 = """TIMESTAMP,ContextTokens,GeneratedTokens
2024-05-10 00:00:00.009930+00:00,2162,5
2024-05-10 02:00:00.017335+02:00,2399,6
2024-05-10T00:00:01Z,10,7
"""
AZURE_2025 = "TIMESTAMP,NumImages,ContextTokens,GeneratedTokens\n1.5,2,300,5\n2.5,0,40,6\n"
BURST_GPT = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45,ChatGPT,1087,0,1087,Conversation log
45,GPT-4,417,276,693,"API log, v2"
"""
MOONCAKE = """{"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1, 2]}
{"timestamp": 0, "input_length": 7322, "output_length": 490, "hash_ids": [0, 14]}
{"timestamp": 3052.5, "input_length": 90, "output_length": 3, "session_id": "s", "hash_ids": null}
"""
BAILIAN = """{"chat_id": 1, "parent_chat_id": -1, "timestamp": 61.5, "input_length": 40, "output_length": 3,
 "hash_ids": [7, 8, 9], "type": "text", "turn": 1}
{"chat_id": 2, "parent_chat_id": 1, "timestamp": 62, "input_length": 17, "output_length": 4, "hash_ids": [7, 11]}
""".replace(",\n ", ", ")


def read(folder: Path, text: str, name: str = "day.csv", most_tokens: int | None = None) -> Recording:
    """Write a file and read it."""
    (folder / name).write_bytes(text.encode())
    return read_recording(folder / name, most_tokens)


@pytest.mark.parametrize(
    ("text", "offsets_ms", "lengths"),
    [
        (AZURE_2023, [0, 52, 52], [(4808, 10), (3180, 8), (3180, 8)]),
        (AZURE_2023.replace("\n", "\r\n"), [0, 52, 52], [(4808, 10), (3180, 8), (3180, 8)]),
        ("\ufeff" + AZURE_2023, [0, 52, 52], [(4808, 10), (3180, 8), (3180, 8)]),
        (f"# downloaded\n\n{AZURE_2023}\n\n", [0, 52, 52], [(4808, 10), (3180, 8), (3180, 8)]),
        (f"# Azure, code, 2023\n{AZURE_2023}", [0, 52, 52], [(4808, 10), (3180, 8), (3180, 8)]),
        (f"# Azure, code, 2023\n#{AZURE_2023}", [0, 52, 52], [(4808, 10), (3180, 8), (3180, 8)]),
        (AZURE_2024, [0, 7.405, 990.07], [(2162, 5), (2399, 6), (10, 7)]),
        (AZURE_2025, [0, 1000], [(300, 5), (40, 6)]),
        (BURST_GPT, [0, 40_000], [(472, 18), (417, 276)]),
        ("arrival time,num_prefill_tokens,num_decode_tokens\n0.5,10.0,2\n1,11.,3\n", [0, 500], [(10, 2), (11, 3)]),
        ("output_tokens,prompt_tokens,timestamp_ms\n2,10,500\n3,11,501\n", [0, 1], [(10, 2), (11, 3)]),
        ("seconds,prompt_tokens,output_tokens\n0,2,3\n1.5e-05,4,5\n", [0, 0.015], [(2, 3), (4, 5)]),
        ("Arrival Time (\u00b5s),prompt_tokens,output_tokens\n0,2,3\n15,4,5\n", [0, 0.015], [(2, 3), (4, 5)]),
        ("elapsed_minutes,prompt_tokens,output_tokens\n5,2,3\n5.5,4,5\n", [0, 30_000], [(2, 3), (4, 5)]),
        ("min,timestamp,prompt_tokens,output_tokens\n7,1,2,3\n7,2,4,5\n", [0, 1_000], [(2, 3), (4, 5)]),
        ("hours,prompt_tokens,output_tokens\n5,2,3\n5.5,4,5\n", [0, 1_800_000], [(2, 3), (4, 5)]),
        ("sep=;\nTime (min);prompt_tokens;output_tokens\n0,5;2;3\n0,75;4;5\n", [0, 15_000], [(2, 3), (4, 5)]),
        ("# of May\n\nseconds\tprompt_tokens\toutput_tokens\n0.5\t2\t3\n# noon\n1\t4\t5\n", [0, 500], [(2, 3), (4, 5)]),
        (AZURE_2024.replace("+00:00", "+00"), [0, 7.405, 990.07], [(2162, 5), (2399, 6), (10, 7)]),
        (MOONCAKE, [0, 0, 3052.5], [(6758, 500), (7322, 490), (90, 3)]),
        ("\ufeff\n" + MOONCAKE.replace("\n", "\r\n"), [0, 0, 3052.5], [(6758, 500), (7322, 490), (90, 3)]),
        (BAILIAN, [0, 500], [(40, 3), (17, 4)]),
    ],
)  # fmt: skip
def test_times_and_lengths_are_read_as_they_are_published(
    tmp_path: Path, text: str, offsets_ms: list[float], lengths: list[tuple[int, int]]
) -> None:
    recording = read(tmp_path, text)
    assert list(recording.offsets_ns) == [round(ms * MS) for ms in offsets_ms]
    told = [(request.prompt_tokens, request.output_tokens) for request in recording.lengths or ()]
    assert told == lengths


@pytest.mark.parametrize("factor", [1, 10**3, 10**6, 10**9])
def test_counts_since_1970_are_of_what_their_size_says_whatever_is_usual(tmp_path: Path, factor: int) -> None:
    first, second = 1_700_158_623 * factor, 1_700_158_625 * factor
    table = read(tmp_path, f"TIMESTAMP,ContextTokens,GeneratedTokens\n{first},1,2\n{second},1,2\n")
    row = '{"timestamp": %d, "input_length": 1, "output_length": 2}\n'
    listed = read(tmp_path, row % first + row % second, "day.jsonl")
    assert table.offsets_ns == listed.offsets_ns == (0, 2 * 10**9)


@pytest.mark.parametrize(("unit", "ns"), [("ms", 10**6), ("us", 10**3), ("ns", 1)])
def test_a_count_since_a_machines_start_is_of_what_its_heading_says(
    tmp_path: Path, unit: str, ns: int
) -> None:
    uptime = 1_300_000 * 10**9 // ns  # 15 days, which without a heading would count from 1970
    alone = read(tmp_path, f"time_{unit}\n{uptime}\n{uptime + 500}\n")
    rows = f"time_{unit},prompt_tokens,output_tokens\n{uptime},1,2\n{uptime + 500},3,4\n"
    assert alone.offsets_ns == read(tmp_path, rows, "rows.csv").offsets_ns == (0, 500 * ns)


def test_a_packed_file_is_read_as_the_file_in_it(tmp_path: Path) -> None:
    (tmp_path / "day.csv.gz").write_bytes(gzip.compress(AZURE_2023.encode()))
    assert read_recording(tmp_path / "day.csv.gz") == read(tmp_path, AZURE_2023)


def test_a_file_of_arrivals_alone_has_no_lengths(tmp_path: Path) -> None:
    assert read(tmp_path, "seconds\n10\n10.5\n") == Recording((0, 500 * MS))


def test_blocks_are_those_of_the_file_or_the_largest_that_fit(tmp_path: Path) -> None:
    mooncake, bailian = read(tmp_path, MOONCAKE), read(tmp_path, BAILIAN, "b.jsonl")
    assert (mooncake.block_tokens, bailian.block_tokens) == (512, 16)
    assert mooncake.remarks == []
    assert "blocks of 16 tokens" in bailian.remarks[0]
    assert [request.block_ids for request in mooncake.lengths or ()] == [(0, 1, 2), (0, 14), ()]


def test_times_that_fall_are_put_in_order_and_said(tmp_path: Path) -> None:
    recording = read(tmp_path, "time,input_tokens,output_tokens\n3,30,1\n1,10,1\n2,20,1\n")
    assert recording.offsets_ns == (0, 1000 * MS, 2000 * MS)
    assert [request.prompt_tokens for request in recording.lengths or ()] == [10, 20, 30]
    assert "put in the order of their times" in recording.remarks[0]


def test_what_got_no_answer_and_what_is_too_long_is_left_out_and_counted(tmp_path: Path) -> None:
    text = AZURE_2023 + "2023-11-16 18:17:05,0,4\n2023-11-16 18:17:06,4,0\n2023-11-16 18:17:07,3178,10\n"
    recording = read(tmp_path, text, most_tokens=3188)
    assert (recording.unanswered, recording.too_long) == (2, 1)
    assert recording.lengths == (Lengths(3180, 8), Lengths(3180, 8), Lengths(3178, 10))
    assert recording.remarks == [
        "2 of 6 requests are left out: no prompt, or no answer (0 tokens)",
        "1 of 6 requests are left out: more tokens than most_tokens",
    ]
    beyond = recording.beyond(3187)
    assert beyond is not None
    assert beyond.startswith("3 of 3 requests have no room in 3187 tokens")
    assert recording.beyond(3188) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (AZURE_2023 + "soon,1,2\n", r"day\.csv:5: TIMESTAMP: takes a number or a date .* \(given: 'soon'\)"),
        (AZURE_2023 + "5,1,2\n", r"day\.csv:5: TIMESTAMP: takes a number or a date .* as all lines do \(given: '5'\)"),
        ('[{"timestamp": 1}]\n', r"day\.csv: is a JSON list: takes JSON Lines"),
        (AZURE_2023 + "2023-13-16 18:17:03,1,2\n", r"day\.csv:5: TIMESTAMP"),
        (AZURE_2023 + "2023-11-16 18:17:05,-1,2\n", r"day\.csv:5: ContextTokens: takes a whole number .*'-1'"),
        (AZURE_2023 + "2023-11-16 18:17:05,,2\n", r"day\.csv:5: ContextTokens: .*''"),
        (AZURE_2023 + "2023-11-16 18:17:05,1,2.5\n", r"day\.csv:5: GeneratedTokens: .*'2\.5'"),
        (AZURE_2023 + "2023-11-16 18:17:05,99999999,2\n", r"day\.csv:5: ContextTokens"),
        (AZURE_2023 + "2023-11-16 18:17:05,1\n", r"day\.csv:5: has 2 of the 3 columns"),
        (AZURE_2023 + '2023-11-16 18:17:05,1,"2\n', r"day\.csv:5: is no line of a CSV file"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n", r"at least two requests at different times"),
        ("time,input_tokens,output_tokens\n1,2,3\n1,2,3\n", r"at least two requests at different times"),
        ("time,input_tokens,output_tokens\n1,2,3\n2,0,3\n", r"different times \(1 of 2 are left out"),
        ("time,in,out\n1,2,3\n", r"day\.csv:2: takes one offset .*names its columns in its first line"),
        ('{"timestamp": 1}\n', r"day\.csv:1: input_length is missing"),
        ('{"timestamp": 1, "input_length": 2}\n', r"day\.csv:1: output_length is missing"),
        ('{"input_length": 2, "output_length": 2}\n', r"day\.csv:1: timestamp is missing"),
        (MOONCAKE + "[1]\n", r"day\.csv:4: takes a JSON object"),
        (MOONCAKE + "{\n", r"day\.csv:4: is not valid JSON"),
        (MOONCAKE + '{"timestamp": true, "input_length": 2, "output_length": 2}', r"day\.csv:4: timestamp: takes"),
        (MOONCAKE + '{"timestamp": NaN, "input_length": 2, "output_length": 2}', r"day\.csv:4: "),
        (MOONCAKE + '{"timestamp": 1, "input_length": true, "output_length": 2}', r"day\.csv:4: input_length: takes"),
        (MOONCAKE + '{"timestamp": 1, "input_length": 2, "output_length": 2, "hash_ids": "a"}',
         r"day\.csv:4: hash_ids: takes"),
        (MOONCAKE + '{"timestamp": 1, "input_length": 20, "output_length": 2, "hash_ids": [1, 2, 3]}',
         r"day\.csv:4: hash_ids: names 3 blocks"),
    ],
)  # fmt: skip
def test_what_is_no_recording_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(tmp_path, text)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    first = read(tmp_path, AZURE_2023)
    assert read(tmp_path, AZURE_2023.replace("4808", "99")) != first


def test_a_study_takes_a_recording_and_refuses_most_tokens_without_lengths(tmp_path: Path) -> None:
    (tmp_path / "day.jsonl").write_text(MOONCAKE)
    (tmp_path / "offsets.csv").write_text("0\n1\n")
    study = load_study(write_study(tmp_path, ("qps: 6", "trace: day.jsonl\n    most_tokens: 7400")))
    load = study.loads[2]
    assert isinstance(load, Open)
    assert (load.slug, load.most_tokens) == ("open-trace-day", 7400)
    with pytest.raises(UsageError, match=r"loads\.2\.trace: most_tokens: .*offsets\.csv has arrivals alone"):
        load_study(write_study(tmp_path, ("qps: 6", "trace: offsets.csv\n    most_tokens: 7400")))
    with pytest.raises(UsageError, match=r"loads\.2\.most_tokens: belongs to a trace"):
        load_study(write_study(tmp_path, ("qps: 6", "qps: 6\n    most_tokens: 7400")))


def test_a_model_with_random_weights_takes_its_lengths_from_recordings_alone(tmp_path: Path) -> None:
    (tmp_path / "day.jsonl").write_text(MOONCAKE)
    text = """name: s
models: [starcoder2-3b]
baseline: bf16
variants: [bf16]
loads: [{kind: open, trace: day.jsonl}MORE]
prompts: {dataset: starwatt-24}
"""
    (tmp_path / "study.yaml").write_text(text.replace("MORE", ""))
    assert load_study(tmp_path / "study.yaml").prompts.output == "natural"
    (tmp_path / "study.yaml").write_text(text.replace("MORE", ", {kind: single_stream}"))
    with pytest.raises(UsageError, match="answers have no natural length"):
        load_study(tmp_path / "study.yaml")
