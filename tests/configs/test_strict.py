"""No field of any file takes a value of another type, an infinity, or a number without a bound."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from configs import loader
from configs.architecture import Architecture
from configs.datasets.own import OwnPrompt, read_own
from configs.executor import Slurm
from configs.files.plain_yaml import dump_yaml
from configs.files.strict import StrictModel
from configs.loader import ARCHITECTURES, VARIANTS, load_architecture, load_study, load_variant
from configs.schema import Study
from configs.shapes import SHAPES
from configs.variant import Variant
from starwatt_errors import UsageError
from tests.support.studies import STUDY, write_study

FULL: dict[str, Any] = {
    "name": "full",
    "models": ["starcoder2-memorised"],
    "baseline": "bf16",
    "variants": ["bf16", "there"],
    "remote": {"there": {"url": "http://127.0.0.1:1", "wait_s": 1, "key": {"env": "KEY"}, "meter": "local"}},
    "loads": [
        {"kind": "single_stream"},
        {"kind": "closed", "concurrency": 2},
        {"kind": "open", "qps": 2, "max_in_flight": 3},
    ],
    "prompts": {"dataset": "starwatt-24", "tasks": 3, "max_tokens": 64, "temperature": 0, "output": {"fixed": 8}},
    "measure": {"passes": 1, "min_s": 1},
    "probes": {"concurrency": [1, 2], "answer_tokens": 16, "prompt_characters": 8, "min_s": 1},
    "slo": {"ttft_ms": 100, "tpot_ms": 100, "e2e_ms": 1000},
    "phases": {
        "idle_s": 1, "warmup_s": 1, "warmup_requests": 4, "rest_s": 1, "drain_s": 1,
        "cooldown": {"within_c": 1, "within_w": 1, "timeout_s": 1},
    },
    "blocks": 1,
    "attempts": 1,
    "engine": {
        "max_model_len": 512, "max_num_seqs": 16, "gpu_memory_utilization": 0.5, "cpu_kvcache_gib": 1,
        "tensor_parallel": 1, "start_timeout_s": 10, "hang_timeout_s": 10, "prefix_cache": False, "enforce_eager": True,
    },
    "meters": {
        "external": [
            {"file": "wall.csv", "averages_s": 1, "clock_offset_s": 0, "clock_uncertainty_s": 0.1, "device": "wall"}
        ],
        "sample_hz": 10, "counter_hz": 1, "modelled": {"watts_per_cpu": 10},
        "gain": {"wall": {"factor": 1.1, "uncertainty": 0.1}},
        "require_exclusive": False,
    },
    "cpus": {"engine": [0], "load": [0]},
    "generator": {"kind": "locust", "workers": 1, "port": 5557, "wait_s": 1},
    "executor": {
        "kind": "slurm", "gpus": 0, "cpus": 1, "memory_gib": 1, "time_min": 1, "at_once": 1, "poll_s": 1,
        "exclusive": True, "options": {"nice": 1},
    },
    "seed": 1,
}  # fmt: skip
"""A study that says something in every part."""


def models(of: Any, seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    """Every model that can stand in a file."""
    if isinstance(of, type) and issubclass(of, BaseModel):
        if of not in seen:
            seen.add(of)
            yield of
            for field in of.model_fields.values():
                yield from models(field.annotation, seen)
                for bound in field.metadata:
                    yield from models(bound, seen)
    else:
        for argument in get_args(of):
            yield from models(argument, seen)


MODELS = [
    model
    for root in (Study, Variant, Architecture, *SHAPES.values(), OwnPrompt)
    for model in models(root, set())
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_number_of_every_file_has_bounds_on_both_sides(model: type[BaseModel]) -> None:
    assert issubclass(model, StrictModel)
    for name, field in model.model_json_schema(mode="validation")["properties"].items():
        if (model, name) in {(OwnPrompt, "atol"), (Architecture, "config"), (Slurm, "options")}:
            continue  # data, or what another reads
        for number in numbers(field):
            assert {"minimum", "exclusiveMinimum"} & number.keys(), f"{name} may be as low as you please"
            assert {"maximum", "exclusiveMaximum"} & number.keys(), f"{name} may be as high as you please"


def numbers(schema: Any) -> Iterator[dict[str, Any]]:
    """The numbers in the schema of a field, those in lists and mappings too."""
    if isinstance(schema, list):
        for member in schema:
            yield from numbers(member)
    elif isinstance(schema, dict):
        if schema.get("type") in ("integer", "number") and "enum" not in schema and "const" not in schema:
            yield schema
        for member in schema.values():
            yield from numbers(member)


def places(data: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a value stands in plain data that is no list and no mapping."""
    if isinstance(data, dict | list):
        for name, inner in data.items() if isinstance(data, dict) else enumerate(data):
            yield from places(inner, (*at, name))
    else:
        yield at


def value_at(data: Any, place: tuple[Any, ...]) -> Any:
    for part in place:
        data = data[part]
    return data


def changed(data: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value there."""
    copy = json.loads(json.dumps(data))
    value_at(copy, place[:-1])[place[-1]] = value
    return copy


def refusal(folder: Path, data: Any) -> str | None:
    """What is said of a study; None where it is taken."""
    path = folder / "study.yaml"
    path.write_text(dump_yaml(data), encoding="utf-8")
    said = told(path)
    assert said is None or said.startswith(f"{path}:")
    assert not any(word in str(said) for word in ("Input", "valid", "tuple", "discriminator", "NoneType"))
    return said


def told(path: Path) -> str | None:
    """What is said of a file; None where it is taken."""
    try:
        load_study(path)
    except UsageError as error:
        return str(error)
    return None


def test_the_study_that_says_everything_is_taken(tmp_path: Path) -> None:
    assert refusal(tmp_path, FULL) is None


@pytest.mark.parametrize(
    ("place", "low", "high"),
    [
        (("phases", "idle_s"), 0.4, 604_801),
        (("engine", "hang_timeout_s"), 2.9, 604_801),
        (("loads", 2, "qps"), 0.0009, 100_001),
        (("meters", "sample_hz"), 0.09, 101),
        (("blocks",), 0, 1001),
    ],
)
def test_a_bound_lies_where_it_is_said_to_lie(
    tmp_path: Path, place: tuple[Any, ...], low: float, high: float
) -> None:
    for value in (low, high):
        assert "takes a number" in str(refusal(tmp_path, changed(FULL, place, value)))


NUMBERS = [place for place in places(FULL) if type(value_at(FULL, place)) in (int, float)]


@pytest.mark.parametrize("place", NUMBERS, ids=lambda place: ".".join(map(str, place)))
def test_a_number_is_no_truth_no_text_and_finite(tmp_path: Path, place: tuple[Any, ...]) -> None:
    wrong = [True, False, "1", "1s", "010", math.inf, -math.inf, math.nan, [1], {"a": 1}, 10**30, -(10**30)]
    if place == ("executor", "options", "nice"):  # what sbatch takes
        wrong = [math.inf, math.nan, [1], {"a": 1}]
    for value in wrong:
        said = refusal(tmp_path, changed(FULL, place, value))
        assert said is not None, value
        assert f": {'.'.join(map(str, place))}" in said, value


@pytest.mark.parametrize(
    "place",
    [place for place in places(FULL) if place not in NUMBERS],
    ids=lambda place: ".".join(map(str, place)),
)
def test_a_text_or_a_truth_is_no_number(tmp_path: Path, place: tuple[Any, ...]) -> None:
    others: list[Any] = [3, 1.5, [], {}]
    for value in others:
        said = refusal(tmp_path, changed(FULL, place, value))
        assert said is not None, value
        assert place[0] in said


@pytest.mark.parametrize(
    "place", [place for place in places(FULL) if isinstance(value_at(FULL, place), str)],
    ids=lambda place: ".".join(map(str, place)),
)  # fmt: skip
def test_a_text_of_a_study_stands_on_one_line(tmp_path: Path, place: tuple[Any, ...]) -> None:
    for value in (f"{value_at(FULL, place)}\n", f" {value_at(FULL, place)}", "a\x1b[31mb", ""):
        assert refusal(tmp_path, changed(FULL, place, value)) is not None, value


@pytest.mark.timeout(240)
def test_a_study_that_was_changed_at_random_is_taken_or_refused_in_a_sentence(tmp_path: Path) -> None:
    draw = random.Random(20)  # noqa: S311 -- no secret
    odd: list[Any] = [
        None, True, 0, -1, 10**40, 1e300, math.inf, math.nan, "", "no", "~", "a\0b", "\x7f", "💥", "../..",
        "/", "~none/x", [], {}, [[]], {"": 0}, {"kind": "open"}, {"kind": 3},
        ["a", 1, None], "x" * 5000, {"a": {"b": {"c": [1]}}},
    ]  # fmt: skip
    for _ in range(150):
        data = FULL
        for _ in range(draw.randint(1, 3)):
            place = draw.choice(list(places(data)))
            data = changed(data, place[: draw.randint(1, len(place))], draw.choice(odd))
        started_s = time.monotonic()
        path = tmp_path / "study.json"
        path.write_text(json.dumps(data))
        assert told(path) != ""
        assert time.monotonic() - started_s < 60


@pytest.mark.timeout(240)
def test_a_study_whose_bytes_were_changed_at_random_is_taken_or_refused_in_a_sentence(tmp_path: Path) -> None:
    draw = random.Random(21)  # noqa: S311 -- no secret
    path = tmp_path / "study.yaml"
    for _ in range(200):
        text = bytearray(STUDY.encode())
        for _ in range(draw.randint(1, 6)):
            at = draw.randrange(len(text))
            text[at : at + draw.randint(0, 5)] = draw.choice(
                [
                    bytes([draw.randrange(256)]),
                    b"[",
                    b"}",
                    b": ",
                    b"\n",
                    b"\t",
                    b"*a ",
                    b"&a ",
                    b"!!int ",
                    b"'",
                    b"\xff",
                ]
            )
        path.write_bytes(text)
        said = told(path)
        assert said is None or str(path) in said


def preset(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, content: str) -> None:
    """One more preset, beside those that come with us."""
    kind = "VARIANTS" if name.endswith(".yaml") else "ARCHITECTURES"
    for path in (VARIANTS if kind == "VARIANTS" else ARCHITECTURES).iterdir():
        (folder / path.name).symlink_to(path)
    (folder / name).write_text(content)
    monkeypatch.setattr(loader, kind, folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("name: other\ndescription: d\n", ":1: name: takes mine, which the file is called (given: 'other')"),
        ("name: mine\ndescription: d\nquantization: {kind: awq, group_size: 17}", ":3: quantization.group_size: takes"),
        ("name: mine\ndescription: d\nquantization: {bits: 4}", ":3: quantization.kind: is required: takes"),
        ("name: mine\ndescription: d\nprune: {}", ":3: prune: takes one of last, first"),
        ("name: mine\ndescription: 3", ":2: description: takes text: put it in quotes (given: 3)"),
    ],
)  # fmt: skip
def test_a_wrong_variant_is_named_with_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, words: str
) -> None:
    preset(monkeypatch, tmp_path, "mine.yaml", content)
    with pytest.raises(UsageError) as caught:
        load_variant("mine")
    assert f"{tmp_path / 'mine.yaml'}{words}" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hiden_size": 256}, "config.hiden_size: no such field; known here: model_type,"),
        ({"hidden_size": "big"}, "config.hidden_size: takes a whole number (given: 'big')"),
        ({"hidden_size": True}, "config.hidden_size: takes a whole number (given: true)"),
        ({"num_hidden_layers": -1}, "config.num_hidden_layers: takes a number from 1 on"),
        ({"num_attention_heads": 3}, "config.num_attention_heads: is 3: each takes an even share"),
        (
            {"num_key_value_heads": 3},
            "config.num_key_value_heads: is 3: takes a divisor of num_attention_heads",
        ),
        ({"hidden_act": "foo"}, "config.hidden_act: takes one of gelu,"),
        ({"rope_theta": math.inf}, "config.rope_theta: takes a finite number"),
    ],
)
def test_a_wrong_argument_of_an_architecture_is_named_with_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], words: str
) -> None:
    whole = json.loads((ARCHITECTURES / "starcoder2-memorised.json").read_text())
    content = json.dumps(whole | {"name": "mine", "config": whole["config"] | change}, indent=2)
    preset(monkeypatch, tmp_path, "mine.json", content)
    with pytest.raises(UsageError) as caught:
        load_architecture("mine")
    assert words in str(caught.value)
    line = content[: content.index(f'"{next(iter(change))}"')].count("\n") + 1
    assert str(caught.value).startswith(f"{tmp_path / 'mine.json'}:{line}: ")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"prompt": "a", "max_tokens": NaN}', "max_tokens: takes a whole number"),
        ('{"prompt": "a", "max_tokens": true}', "max_tokens: takes a whole number (given: true)"),
        ('{"prompt": "a", "max_tokens": "3"}', "max_tokens: takes a whole number, without quotes"),
        ('{"prompt": "a", "prompt": "b"}', "prompt is there twice"),
        ('{"prompt": "a", "task_id": "a\\nb"}', "task_id: takes one line of text"),
        ('{"prompt": "\\ud800"}', "half of a character"),
        ('{"prompt": "a", "max_tokens": ' + "9" * 5000 + "}", "too many digits"),
        ("[" * 100_000, "levels deep"),
        (
            '{"prompt": "a", "entry_point": "f", "canonical_solution": "x", "base_input": [[1e999]]}',
            "base_input.0: takes finite numbers",
        ),
    ],
)
def test_a_wrong_value_of_a_prompt_is_named_with_line_and_field(
    tmp_path: Path, line: str, words: str
) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text(f'{{"prompt": "def f():"}}\n{line}\n')
    with pytest.raises(UsageError) as caught:
        read_own(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("concurrency: 8}", "concurrency: 8, name: single-stream}"), "(this is closed-8)"),
        (("concurrency: 8}", "concurrency: 8, name: closed-4}"), "(this is closed-8)"),
        (("qps: 6", "qps: 6\n    name: open-8-poisson"), "(this is open-6-poisson)"),
        (("[bf16, int8-bnb]", "[bf16, pruned-last-1, bf16-pruned-last-1]"), "variants.2: bf16-pruned-last-1 is"),
        (("max_tokens: 64", "max_tokens: 64\nslo: {}"), ":13: slo: takes at least one of ttft_ms"),
        (("name: small", f"name: {'x' * 101}"), "takes at most 100 characters"),
        (("[starcoder2-memorised]", '["a\\nb"]'), "models.0: takes one line of text"),
    ],
)  # fmt: skip
def test_what_would_be_taken_for_something_else_is_refused(
    tmp_path: Path, change: tuple[str, str], words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        load_study(write_study(tmp_path, change))
    assert words in str(caught.value)


def test_a_load_may_have_the_name_that_it_has_anyway(tmp_path: Path) -> None:
    change = ("{kind: closed, concurrency: 8}", "{kind: closed, concurrency: 8, name: closed-8}")
    assert load_study(write_study(tmp_path, change)).loads[1].slug == "closed-8"


def test_a_model_by_its_folder_lies_beside_the_study(tmp_path: Path) -> None:
    path = write_study(
        tmp_path, ("[starcoder2-memorised]", "[./mine, ../theirs, owner/name, starcoder2-memorised]")
    )
    assert load_study(path).models == (
        str(tmp_path / "mine"), str(tmp_path.parent / "theirs"), "owner/name", "starcoder2-memorised",
    )  # fmt: skip


@pytest.mark.parametrize(
    "change", [{"url": "http://me:hunter2@host:1"}, {"key": "hunter2"}, {"token": "hunter2"}]
)
def test_a_secret_is_in_no_message(tmp_path: Path, change: dict[str, str]) -> None:
    remote = {"there": FULL["remote"]["there"] | change}
    said = refusal(tmp_path, FULL | {"remote": remote})
    assert said is not None
    assert "hunter2" not in said


@pytest.mark.timeout(60)
def test_ten_wrong_fields_are_named_and_the_others_counted(tmp_path: Path) -> None:
    said = refusal(tmp_path, FULL | {f"field{number}": number for number in range(5000)})
    assert said is not None
    assert len(said.splitlines()) == 11
    assert said.endswith("and 4990 more fields are wrong")
