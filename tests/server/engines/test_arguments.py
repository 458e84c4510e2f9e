"""Settings of the engine are checked by its own parser, in a process of its own, before anything is started."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from configs.loader import load_variant, setting_names
from configs.schema import EngineSettings
from configs.variant import Variant
from server.build.store import Checkpoint
from server.engines import arguments, vllm
from server.engines.arguments import Asked, ask_parser, check_arguments
from server.engines.engine_spec import EngineSpec
from server.engines.vllm import Vllm, vllm_command
from starwatt_errors import EngineError, UsageError
from tests.support.once import once

KNOWN = "known.json"
HERE = Checkpoint(Path("/checkpoint"), "abc", memorised=False)
SPEC = EngineSpec("m", load_variant("bf16"), HERE, EngineSettings(max_model_len=512), port=8000)
DRAFT = {"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 4}
TAKEN: dict[str, Mapping[str, Any]] = {
    **{name: load_variant(f"bf16+{name}").engine_args for name in setting_names()},
    "a list": {"cudagraph_capture_sizes": [1, 2, 4]},
    "a mapping": {"compilation_config": {"mode": 0}},
    "a number in words": {"max_num_batched_tokens": "4k"},
    "a model that drafts, and is not here": {
        "speculative_config": {"method": "draft_model", "model": "owner/model", "num_speculative_tokens": 3},
    },
    "a model that drafts for itself": {"speculative_config": {"method": "mtp", "num_speculative_tokens": 1}},
    "a template": {"chat_template": "{{ messages }}"},
}  # fmt: skip
REFUSED: dict[str, tuple[Mapping[str, Any], str]] = {
    "no such argument": ({"kv_cache_dtyp": "fp8"}, "kv_cache_dtyp: there is no such argument; near it: kv_cache_dtype"),
    "an argument of old": ({"swap_space": 4}, "swap_space: there is no such argument"),
    "a study's word": ({"tensor_parallel": 2}, "near it: tensor_parallel_size"),
    "a flag that denies": ({"no_enable_chunked_prefill": True}, "near it: enable_chunked_prefill"),
    "two at once": ({"a_b": 1, "c_d": 2}, "a_b: there is no such argument; c_d: there is no such argument"),
    "no such value": ({"kv_cache_dtype": "fp9"}, "--kv-cache-dtype: invalid choice: 'fp9'"),
    "no switch": ({"enable_chunked_prefill": 1}, "enable_chunked_prefill: takes true or false"),
    "no number": ({"max_num_batched_tokens": "many"}, "--max-num-batched-tokens: invalid"),
    "no mapping": ({"speculative_config": "ngram"}, "speculative_config: takes a mapping"),
    "a number as a mapping": ({"speculative_config": 3}, "speculative_config: takes a mapping"),
    "a word as a mapping": ({"kv_transfer_config": "x"}, "Invalid JSON: expected value at line 1 column 1"),
    "no such attention": ({"attention_backend": "FLASH"}, "Unknown attention backend: 'FLASH'"),
    "no such way to draft": ({"speculative_config": {**DRAFT, "method": "ngrams"}}, "SpeculativeConfig: method:"),
    "no such field": ({"speculative_config": {**DRAFT, "depth": 3}}, "SpeculativeConfig: depth: Unexpected"),
    "a field that is missing": ({"speculative_config": {"method": "ngram"}}, "num_speculative_tokens must be provided"),
    "beyond its bounds": ({"block_size": 0}, "block_size: Input should be greater than 0"),
    "what the context rules out": (
        {"max_num_batched_tokens": 64, "enable_chunked_prefill": False}, "(64) is smaller than max_model_len (512)",
    ),
    "a field within a mapping": ({"compilation_config": {"nonsense": 1}}, "nonsense Unexpected keyword argument"),
}  # fmt: skip


def spec(args: Mapping[str, Any]) -> EngineSpec:
    """The spec of a variant with these arguments."""
    return replace(SPEC, variant=Variant(name="mine", description="", engine_args=dict(args)))


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """All of these, asked in one go of the vLLM that is installed."""
    if find_spec("vllm") is None:
        pytest.skip("no vLLM is installed")
    with pytest.MonkeyPatch.context() as patch:
        remembered = tmp_path_factory.mktemp("remembered")  # and vLLM's own cache where it is
        patch.setattr(arguments, "_remembered", lambda digest: remembered / digest)
        patch.setattr(arguments, "_known", {})
        known = once(tmp_path_factory, "engine-args", _ask) / KNOWN
        patch.setattr(arguments, "_known", json.loads(known.read_text(encoding="utf-8")))
        yield


def _ask(folder: Path) -> None:
    vllm.look_at_arguments(
        [spec(args) for args in [*TAKEN.values(), *(args for args, _ in REFUSED.values())]]
    )
    (folder / KNOWN).write_text(json.dumps(arguments._known), encoding="utf-8")


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("case", TAKEN)
def test_vllm_takes_every_setting_that_there_is(case: str) -> None:
    Vllm().check(spec(TAKEN[case]))


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("case", REFUSED)
def test_what_vllm_does_not_take_is_refused_in_one_line_with_its_name(case: str) -> None:
    args, words = REFUSED[case]
    with pytest.raises(UsageError) as refusal:
        Vllm().check(spec(args))
    said = str(refusal.value)
    assert said.startswith("mine: engine_args: vllm")
    assert words in said
    assert "\n" not in said
    assert "https://" not in said
    assert "input_type" not in said


def known(monkeypatch: pytest.MonkeyPatch, cache: Path, *answers: str | None) -> list[int]:
    """Has the parser answer so; returns how many it was asked about at a time."""
    calls: list[int] = []

    def answer(every: list[Asked]) -> list[str | None]:
        calls.append(len(every))
        return list(answers)

    monkeypatch.setattr(arguments, "_remembered", lambda digest: cache / digest)
    monkeypatch.setattr(arguments, "_known", {})
    monkeypatch.setattr(arguments, "_answers", answer)
    return calls


def test_what_was_taken_once_is_not_asked_again_and_a_refusal_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    good, bad = (Asked({"block_size": size}, ("--x",), "vllm 0.32.0") for size in (16, 17))
    assert known(monkeypatch, tmp_path) == []
    calls = known(monkeypatch, tmp_path, None, "no")
    ask_parser([good, bad, good])
    assert calls == [2], "all at once, each once"
    with pytest.raises(UsageError, match=r"mine: engine_args: vllm 0\.32\.0 does not take them: no"):
        check_arguments(bad, "mine")
    later = known(monkeypatch, tmp_path, "no")  # another process
    check_arguments(good, "mine")
    assert later == []
    with pytest.raises(UsageError):
        check_arguments(bad, "mine")
    newer = replace(good, version="vllm 0.33.0")
    with pytest.raises(UsageError):
        check_arguments(newer, "mine")
    assert later == [1, 1]


def test_an_answer_that_cannot_be_kept_holds_for_this_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a file").touch()
    calls = known(monkeypatch, tmp_path / "a file", None)
    for _ in range(2):
        check_arguments(Asked({"block_size": 16}, (), "vllm 0.32.0"), "mine")
    assert calls == [1]


def test_the_parser_is_asked_about_nothing_where_a_variant_has_no_arguments(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls = known(monkeypatch, tmp_path)
    vllm.look_at_arguments([SPEC])
    Vllm().check(SPEC)
    assert calls == []


def test_a_parser_that_fails_is_told_with_its_last_lines(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho a library is missing >&2\nexit 3\n")
    python.chmod(0o755)
    monkeypatch.setattr(arguments, "_remembered", lambda digest: tmp_path / digest)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(EngineError, match=r"vLLM's parser failed \(exit code 3\).*\n.*a library is missing"):
        check_arguments(Asked({"block_size": 16}, (), "vllm 0"), "mine")


def test_without_vllm_the_message_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", _not_installed)
    with pytest.raises(EngineError, match="no vLLM is installed here"):
        vllm.look_at_arguments([spec({"block_size": 16})])


def _not_installed(name: str) -> str:
    raise metadata.PackageNotFoundError(name)


@pytest.mark.parametrize(
    ("args", "flags", "not_there"),
    [
        ({"max_num_seqs": 8}, ["--max-num-seqs", "8"], "256"),
        ({"enable_prefix_caching": True}, ["--enable-prefix-caching"], "--no-enable-prefix-caching"),
        ({"data_parallel_size": 2}, ["--data-parallel-size", "2"], "--tensor-parallel-size"),
        ({"speculative_config": {"method": "ngram"}}, ['--speculative-config={"method":"ngram"}'], ""),
        ({"enable_chunked_prefill": False}, ["--no-enable-chunked-prefill"], "--enable-chunked-prefill"),
    ],
)
def test_the_engine_is_started_with_the_variant_s_own_arguments_each_once(
    args: dict[str, Any], flags: list[str], not_there: str
) -> None:
    command = vllm_command(spec(args))
    place = command.index(flags[0])
    assert command[place : place + len(flags)] == flags
    assert not_there not in command
    assert len({part.partition("=")[0] for part in command if part.startswith("--")}) == len(
        [part for part in command if part.startswith("--")]
    )
