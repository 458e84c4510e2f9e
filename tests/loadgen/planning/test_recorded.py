"""A recording with lengths, replayed: which request comes when, how long it is, and which prompts begin alike."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from loadgen.planning.agenda import Agenda, Item, asked_by
from loadgen.planning.payload import Endpoint
from loadgen.planning.requests import requests_of
from loadgen.planning.schedule import planned, write_schedule
from loadgen.spec import LoadSpec, Wording
from tests.support.driving import drive, make_spec
from tests.support.server import Answer, Asked, TruthServer

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.0000000,480,4
2023-11-16 18:17:03.0200000,30,2
2023-11-16 18:17:03.0400000,7,3
"""
MOONCAKE = [
    {"timestamp": 0, "input_length": 1100, "output_length": 2, "hash_ids": [0, 1, 2]},
    {"timestamp": 10, "input_length": 1060, "output_length": 2, "hash_ids": [0, 1, 2]},
    {"timestamp": 20, "input_length": 600, "output_length": 2, "hash_ids": [0, 3]},
    {"timestamp": 30, "input_length": 600, "output_length": 2, "hash_ids": [4, 1]},
    {"timestamp": 40, "input_length": 600, "output_length": 2, "hash_ids": [0]},
]


def replaying(trace: Path, url: str = "http://h", **changes: Any) -> LoadSpec:
    """A load that replays a file once."""
    count = {"kind": "requests", "requests": changes.pop("count", 3)}
    return make_spec(url, {"kind": "open", "trace": str(trace)}, amount=count, **changes)


@pytest.fixture
def azure(tmp_path: Path) -> Path:
    (tmp_path / "azure.csv").write_text(AZURE)
    return tmp_path / "azure.csv"


@pytest.fixture
def mooncake(tmp_path: Path) -> Path:
    (tmp_path / "mooncake.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in MOONCAKE))
    return tmp_path / "mooncake.jsonl"


def bodies(spec: LoadSpec) -> Iterator[tuple[Item, dict[str, Any]]]:
    """What is planned, with what would be sent for it."""
    asked = asked_by(spec)
    requests = requests_of(Endpoint.parse(spec.url, spec.endpoint), spec, asked, None)
    for _, item in planned(spec):
        head, _, content = requests.of(item).partition(b"\r\n\r\n")
        assert f"Content-Length: {len(content)}".encode() in head
        yield item, json.loads(content)


def prompts(spec: LoadSpec) -> list[list[str]]:
    """The words of each prompt, in order."""
    return [body["prompt"].split() for _, body in bodies(spec)]


def alike(one: list[str], other: list[str]) -> int:
    """How many words two prompts have in common at their beginning."""
    return next(
        (place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]),
        min(len(one), len(other)),
    )


def counted(asked: Asked) -> Answer:
    """A server with one token a word."""
    return Answer(prompt_tokens=len(asked.body["prompt"].split()))


def test_every_request_is_sent_once_in_order_with_its_lengths_and_its_row_has_them(
    azure: Path, tmp_path: Path
) -> None:
    wording = Wording(overhead_tokens=1)
    with TruthServer(counted) as server:
        driven = drive(replaying(azure, server.url, wording=wording), tmp_path / "out")
    columns = ("task_id", "asked_prompt_tokens", "prompt_tokens", "asked_output_tokens", "output_tokens")
    rows = sorted(driven.of("measured"), key=lambda row: row["scheduled_ns"])
    assert [tuple(row[name] for name in columns) for row in rows] == [
        ("trace/0", 480, 480, 4, 4), ("trace/1", 30, 30, 2, 2), ("trace/2", 7, 7, 3, 3),
    ]  # fmt: skip
    gaps = [late["scheduled_ns"] - early["scheduled_ns"] for early, late in pairwise(rows)]
    assert gaps == [20_000_000, 20_000_000]
    assert all(asked.body["ignore_eos"] for asked in server.asked)
    assert {row["status"] for row in rows} == {"ok"}


def test_by_chat_the_users_words_have_the_length_that_is_left_beside_the_template(azure: Path) -> None:
    spec = replaying(azure, endpoint="chat", wording=Wording(overhead_tokens=20))
    said = [body["messages"][0]["content"].split() for _, body in bodies(spec)]
    assert [len(words) - 1 for words in said] == [460, 10, 0]  # beside the mark that every text begins with


def test_warm_up_is_the_end_of_the_recording_and_what_is_measured_its_beginning(
    azure: Path, tmp_path: Path
) -> None:
    spec = replaying(azure, warmup_s=0.05, count=4)
    write_schedule(spec, tmp_path)
    rows = pq.read_table(tmp_path / "schedule.parquet").to_pylist()
    assert [(row["role"], row["task_id"], row["sample"]) for row in rows] == [
        ("warmup", "trace/1", 0), ("warmup", "trace/2", 0), ("measured", "trace/0", 0), ("measured", "trace/1", 0),
        ("measured", "trace/2", 0), ("measured", "trace/0", 1),
    ]  # fmt: skip
    assert [row["due_ns"] for row in rows][2:5] == [50_000_000, 70_000_000, 90_000_000]
    assert [row["asked_output_tokens"] for row in rows] == [2, 3, 4, 2, 3, 4]


def test_a_whole_pass_is_the_recording_and_filler_goes_on_with_it(azure: Path) -> None:
    spec = make_spec("http://h", {"kind": "open", "trace": str(azure)})
    agenda = Agenda(spec, asked_by(spec))
    drawn = [agenda.next(at_ns) for at_ns in range(5)]
    assert [(item.role, item.task.task_id, item.sample) for item in drawn if item] == [
        ("measured", "trace/0", 0), ("measured", "trace/1", 0), ("measured", "trace/2", 0),
        ("filler", "trace/0", 1), ("filler", "trace/1", 1),
    ]  # fmt: skip


def test_prompts_with_the_same_leading_blocks_begin_alike_and_no_others_do(mooncake: Path) -> None:
    first, shorter, forked, other, alone = prompts(replaying(mooncake, count=5))
    assert [len(words) - 1 for words in (first, shorter, forked, other, alone)] == [1100, 1060, 600, 600, 600]
    assert alike(first, shorter) == len(shorter)
    assert 1 + 512 <= alike(first, forked) < 1 + 512 + 16
    assert 1 + 512 <= alike(forked, alone) < 1 + 512 + 16
    assert alike(first, other) < 16


def test_prompts_without_blocks_and_those_of_another_round_begin_in_ways_of_their_own(
    azure: Path, mooncake: Path
) -> None:
    twice = prompts(replaying(azure, count=6))
    assert max(alike(text, other) for place, text in enumerate(twice) for other in twice[:place]) < 6
    rounds = prompts(replaying(mooncake, count=10))
    assert alike(rounds[0], rounds[5]) < 16
    assert alike(rounds[5], rounds[6]) == len(rounds[6])


def test_text_is_the_same_for_every_variant_and_another_in_every_block(azure: Path) -> None:
    first, again, other = (prompts(replaying(azure, block=block)) for block in (1, 1, 2))
    assert first == again
    assert alike(first[0], other[0]) < 16


def test_words_of_several_tokens_make_prompts_shorter_in_words_with_blocks_at_the_same_tokens(
    mooncake: Path,
) -> None:
    spec = replaying(mooncake, count=5, wording=Wording(overhead_tokens=3, tokens_per_word=2.0))
    first, _, forked, *_ = prompts(spec)
    assert (len(first) - 1, len(forked) - 1) == (round(1097 / 2), round(597 / 2))
    assert 1 + 256 <= alike(first, forked) < 1 + 256 + 16
