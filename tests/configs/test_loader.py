"""What is wrong in a file becomes one message: file, line, field, and what it takes instead."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from configs.controls import with_controls
from configs.loader import (
    ARCHITECTURES,
    STUDIES,
    dump_study,
    load_architecture,
    load_study,
    load_variant,
    variant_names,
)
from starwatt_errors import UsageError
from tests.support.studies import write_study

WRONG = {
    "field that is nearly one": (
        ("variants: ", "varaints: "),
        ":4: varaints: no such field",
        "; did you mean variants?",
    ),
    "variant that is nearly one": (
        ("int8-bnb]", "int8-bn]"),
        ":4: variants.1: there is no variant 'int8-bn'",
        "; did you mean int8-bnb?",
    ),
    "unknown field": (("seed: 20", "sede: 20"), ":14: sede: no such field", "seed"),
    "unknown field of a load": (
        ("concurrency: 8}", "concurrency: 8, rate: 2}"),
        ":7: loads.1.rate: no such field",
        "known here: name, kind, concurrency",
    ),
    "unknown field of a load in block style": (
        ("    qps: 6", "    qps: 6\n    rate: 2"),
        ":10: loads.2.rate: no such field",
        "known here: name, kind, qps, arrivals",
    ),
    "unknown field of the prompts": (
        ("  max_tokens: 64", "  maxtokens: 64"),
        ":12: prompts.maxtokens: no such field",
        "max_tokens",
    ),
    "unknown variant": (
        ("[bf16, int8-bnb]", "[bf16, int7]"),
        ":4: variants.1: there is no variant 'int7'",
        "there are: bf16, fp16",
    ),
    "a variant by a path": (
        ("[bf16, int8-bnb]", "[bf16, ../variants/fp16]"),
        ":4: variants.1: ",
        "variants/fp16: cannot be read: No such file",
    ),
    "unknown load kind": (
        ("{kind: single_stream}", "{kind: burst}"),
        ":6: loads.0.kind: takes one of single_stream, single-stream, closed, open",
        "(given: 'burst')",
    ),
    "no load kind": (("{kind: single_stream}", "{name: x}"), ":6: loads.0.kind: is required", "single_stream"),
    "unknown dataset": (
        ("starwatt-24", "mbpp"),
        ":11: prompts.dataset: takes one of: starwatt-24, humaneval+",
        "(given: 'mbpp')",
    ),
    "baseline not among the variants": (
        ("baseline: bf16", "baseline: fp16"),
        ":3: baseline: takes one of the variants",
        "bf16, int8-bnb",
    ),
    "a variant twice": (("[bf16, int8-bnb]", "[bf16, bf16]"), ":4: variants.1: names bf16 twice", ""),
    "two loads called the same": (
        ("{kind: single_stream}", "{kind: closed, concurrency: 8}"),
        ":5: loads: two are called the same",
        "give one a name:",
    ),
    "max_num_seqs below the concurrency": (
        ("max_num_seqs: 64", "max_num_seqs: 4"),
        ":13: engine.max_num_seqs: must be at least 8",
        "it is 4",
    ),
    "fixed output longer than max_tokens": (
        ("  max_tokens: 64", "  max_tokens: 64\n  output: {fixed: 65}"),
        ":13: prompts.output.fixed: is larger than prompts.max_tokens",
        "",
    ),
    "a number that is none": (("qps: 6", "qps: fast"), ":9: loads.2.qps: takes a number", "'fast'"),
    "a rate of zero": (("qps: 6", "qps: 0"), ":9: loads.2.qps: takes a number from 0.001 on", "(given: 0)"),
    "unknown arrivals": (
        ("qps: 6", "qps: 6\n    arrivals: bursty"),
        ":10: loads.2.arrivals: takes constant or poisson",
        "'bursty'",
    ),
    "tasks that are neither all nor a number": (
        ("  max_tokens: 64", "  tasks: some"),
        ":12: prompts.tasks: takes all or a whole number",
        "",
    ),
    "a name that is no folder's": (("name: small", "name: a/b"), ":1: name: takes letters, digits", "'a/b'"),
    "no field at all that is required": (("baseline: bf16\n", ""), ": baseline: is required", ""),
    "a list where a mapping belongs": (
        ("engine: {max_num_seqs: 64}", "engine: [64]"),
        ":13: engine: takes a mapping of fields",
        "(given: a list)",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "where", "instead"), WRONG.values(), ids=WRONG)
def test_a_wrong_field_is_named_with_file_line_and_what_it_takes(
    tmp_path: Path, change: tuple[str, str], where: str, instead: str
) -> None:
    path = write_study(tmp_path, change)
    with pytest.raises(UsageError) as caught:
        load_study(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:")
    assert f"{path}{where}" in message
    assert instead in message
    assert caught.value.exit_code == 2


def test_every_wrong_field_is_named_at_once_and_each_once(tmp_path: Path) -> None:
    path = write_study(tmp_path, ("qps: 6", "qps: -1"), ("seed: 20", "seed: -1"))
    with pytest.raises(UsageError) as caught:
        load_study(path)
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == ["loads.2.qps", "seed"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"name: [small", "is not valid YAML"),
        (b"name: a\n\tb: c", "is not valid YAML"),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        (b"- name: small", "takes a mapping of fields (name: value), not a list"),
        (b"", "takes a mapping of fields (name: value), not an empty file"),
        (b"name: small\nseed: 1\nseed: 2\n", ":3: seed is there twice"),
    ],
)
def test_a_file_that_is_no_study_is_an_error_with_its_name(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load_study(path)
    assert str(path) in str(caught.value)
    assert problem in str(caught.value)


def test_a_missing_file_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml: cannot be read: No such file"):
        load_study(tmp_path / "none.yaml")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        load_study(tmp_path)


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_study_that_comes_with_us_loads_and_is_named_as_its_file(path: Path) -> None:
    study = load_study(path)
    assert study.name == path.stem
    assert with_controls(study).baseline == study.baseline
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# What it answers: ")


@pytest.mark.parametrize("name", variant_names())
def test_every_variant_that_comes_with_us_loads_and_is_named_as_its_file(name: str) -> None:
    assert load_variant(name).name == name


@pytest.mark.parametrize("path", sorted(ARCHITECTURES.glob("*.json")), ids=lambda path: path.stem)
def test_every_architecture_that_comes_with_us_loads_and_is_named_as_its_file(path: Path) -> None:
    architecture = load_architecture(path.stem)
    assert architecture is not None
    assert architecture.name == path.stem


@pytest.mark.parametrize("name", ["bigcode/starcoder2-3b", "./starcoder2-memorised", "none", "../x"])
def test_what_is_no_preset_is_no_architecture(name: str) -> None:
    assert load_architecture(name) is None


@pytest.mark.parametrize(
    "changes",
    [
        (),
        (("qps: 6", "qps: 0.1\n    arrivals: constant\n    name: slow"),),
        (("  max_tokens: 64", "  tasks: 3\n  output: {fixed: 7}"),),
        (("seed: 20", "seed: 1\nmeters: {sources: [rapl, modelled], sample_hz: 50}\ncpus: {load: [1]}"),),
    ],
)
def test_a_dumped_study_reads_back_as_an_equal_one(
    tmp_path: Path, changes: tuple[tuple[str, str], ...]
) -> None:
    study = load_study(write_study(tmp_path, *changes))
    dumped = tmp_path / "dumped.yaml"
    dumped.write_text(dump_study(study), encoding="utf-8")
    assert load_study(dumped) == study


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_dumped_study_names_every_default_that_it_was_run_with(path: Path, tmp_path: Path) -> None:
    study = load_study(path)
    dumped = tmp_path / "study.yaml"
    dumped.write_text(dump_study(study), encoding="utf-8")
    assert load_study(dumped) == study
    assert json.loads(study.model_dump_json()).keys() == study.model_dump().keys()
    for field in type(study).model_fields:
        assert f"{field}:" in dumped.read_text(encoding="utf-8")
