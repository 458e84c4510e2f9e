"""Settings of the engine that a variant has of its own: what they may be, their names, and their controls."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import JsonValue, ValidationError

from configs import loader
from configs.controls import with_controls
from configs.engine.arguments import flags, other_arguments, with_arguments
from configs.loader import dump_study, load_setting, load_study, load_variant, named_variant, setting_names
from configs.schema import EngineSettings, Study
from configs.variant import Setting, Variant
from starwatt_errors import UsageError
from study.plan.cells import by_engine_start, plan_cells


def study(variants: list[str], baseline: str = "bf16", **more: Any) -> Study:
    """A study of variants under a single stream."""
    fields = {"name": "s", "models": ["m"], "loads": [{"kind": "single_stream"}], **more}
    return Study.model_validate({**fields, "baseline": baseline, "variants": variants})


def mine(**args: Any) -> Variant:
    """A variant of one's own with engine arguments."""
    return Variant(name="mine", description="", engine_args=args)


@pytest.mark.parametrize("name", setting_names())
def test_a_setting_goes_with_a_variant_and_changes_nothing_but_its_arguments(name: str) -> None:
    base, setting = load_variant("int4-awq"), load_setting(name)
    combined = load_variant(f"int4-awq+{name}")
    assert combined.name == f"int4-awq+{name}"
    assert combined.engine_args == setting.engine_args
    same = {"name": base.name, "description": base.description, "engine_args": {}}
    assert combined.model_copy(update=same) == base, "one checkpoint serves both"


def test_settings_combine_in_any_number_and_order() -> None:
    names = ("kv-fp8", "ngram", "prefix-cache")
    every = [load_variant("+".join(["bf16-eager", *order])) for order in itertools.permutations(names)]
    assert all(variant.engine_args == every[0].engine_args for variant in every)
    assert list(every[0].engine_args) == ["enable_prefix_caching", "kv_cache_dtype", "speculative_config"]
    assert every[0].enforce_eager


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bf16+ngram+ngram", "names ngram twice"),
        ("bf16+prefix-cache+no-prefix-cache", "prefix-cache and no-prefix-cache both set enable_prefix_caching"),
        ("bf16+flash-attn+triton-attn", "both set attention_backend, to two values"),
        ("bf16+nonsense", "there is no setting 'nonsense'; there are: .*ngram"),
        ("bf16+ngram-eager", "there is no setting 'ngram-eager'.*NAME-eager[+]SETTING"),
        ("bf16+", "there is no setting ''"),
        ("bf16++ngram", "there is no setting ''"),
        ("+ngram", "there is no variant ''"),
        ("nonsense+ngram", "there is no variant 'nonsense'"),
        ("bf16-hf+ngram", "belongs to engine: vllm"),
        ("bf16+../variants/bf16", "there is no setting"),
    ],
)  # fmt: skip
def test_a_name_that_does_not_combine_is_refused_in_words(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        load_variant(name)


OURS = (
    "model", "host", "port", "api_key", "served_model_name", "seed", "dtype", "quantization", "max_model_len",
    "gpu_memory_utilization", "enforce_eager", "trust_remote_code", "disable_log_stats", "load_format", "hf_token",
    "ssl_keyfile", "data_parallel_rank", "log_config_file", "enable_prompt_tokens_details", "tokenizer", "device_ids",
)  # fmt: skip


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("spelled", [str, lambda name: name.replace("_", "-")], ids=["as here", "as a flag"])
def test_what_starwatt_sets_itself_is_no_variant_s_to_set(name: str, spelled: Any) -> None:
    for model in (Variant, Setting):
        with pytest.raises(ValidationError, match="is not a variant's to set: "):
            model.model_validate({"name": "v", "description": "", "engine_args": {spelled(name): "1"}})


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"--kv-cache-dtype": "fp8"}, "takes the flag's name without the dashes"),
        ({"kv cache": 1}, "takes the name of one of vLLM's flags"),
        ({"kv_cache_dtype": None}, "takes a value: leave the argument out"),
        ({"kv_cache_dtype": "fp8", "kv-cache-dtype": "fp8"}, "names kv_cache_dtype twice"),
        ({"max_num_seqs": 0}, "takes a number from 1 on"),
        ({"max_num_seqs": "many"}, "takes a whole number"),
        ({"tensor_parallel_size": True}, "takes a whole number"),
        ({"enable_prefix_caching": "yes"}, "takes true or false"),
    ],
)
def test_arguments_that_mean_nothing_are_refused_in_words(args: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        mine(**args)
    with pytest.raises(ValidationError, match="at least 1"):
        Setting(name="s", description="", engine_args={})


def test_a_variant_s_arguments_take_the_place_of_the_study_s_settings() -> None:
    args = {
        "tensor_parallel_size": 2, "pipeline-parallel-size": 3, "data_parallel_size": 4, "max_num_seqs": 8,
        "enable_prefix_caching": True, "kv_cache_dtype": "fp8",
    }  # fmt: skip
    args_kept = mine(**args).engine_args
    settings = with_arguments(EngineSettings(max_model_len=512), args_kept)
    assert (settings.tensor_parallel, settings.pipeline_parallel, settings.data_parallel) == (2, 3, 4)
    assert (settings.boards, settings.max_num_seqs, settings.prefix_cache) == (24, 8, True)
    assert settings.max_model_len == 512
    assert other_arguments(args_kept) == {"kv_cache_dtype": "fp8"}


def test_arguments_become_flags_as_vllm_s_parser_has_them() -> None:
    given: dict[str, JsonValue] = {
        "async_scheduling": True, "enable_chunked_prefill": False, "max_num_batched_tokens": 64, "watermark": 0.1,
        "speculative_config": {"method": "ngram", "n": [1, 2]}, "cudagraph_capture_sizes": [1, 2], "block_size": "-1",
    }  # fmt: skip
    assert flags(given) == [
        "--async-scheduling", "--no-enable-chunked-prefill", "--max-num-batched-tokens=64", "--watermark=0.1",
        '--speculative-config={"method":"ngram","n":[1,2]}', "--cudagraph-capture-sizes", "1", "2", "--block-size=-1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("variants", "baseline", "controls"),
    [
        (["bf16", "bf16+ngram", "bf16+ngram+kv-fp8"], "bf16", {}),
        (["bf16", "int4-awq+ngram"], "bf16", {"int4-awq+ngram": "int4-awq"}),
        (["bf16", "pruned-last-2+kv-fp8+ngram"], "bf16", {"pruned-last-2+kv-fp8+ngram": "pruned-last-2"}),
        (["bf16", "bf16-eager+ngram"], "bf16", {"bf16-eager+ngram": "bf16-eager"}),
        (["bf16", "int8-bnb+ngram"], "bf16", {"int8-bnb+ngram": "int8-bnb", "int8-bnb": "bf16-eager"}),
        (["bf16+ngram", "int4-awq+ngram"], "bf16+ngram", {}),
        (["bf16+ngram", "int4-awq"], "bf16+ngram", {"int4-awq": "int4-awq+ngram"}),
        (["bf16+ngram", "int8-bnb+ngram"], "bf16+ngram", {"int8-bnb+ngram": "bf16-eager+ngram"}),
        (["bf16+ngram", "nf4-bnb-hf"], "bf16+ngram", {"nf4-bnb-hf": "bf16-hf"}),
    ],
)
def test_a_setting_is_compared_with_the_same_weights_without_it(
    variants: list[str], baseline: str, controls: dict[str, str]
) -> None:
    planned = with_controls(study(variants, baseline))
    assert planned.controls == controls
    assert set(planned.variants) == {*variants, *controls.values()}
    assert with_controls(planned) == planned


def test_an_argument_that_says_what_the_study_says_is_no_difference() -> None:
    usual = study(["bf16", "int4-awq+prefix-cache"])
    cached = usual.model_copy(update={"engine": EngineSettings(prefix_cache=True)})
    assert with_controls(cached).controls == {}
    assert with_controls(usual).controls == {"int4-awq+prefix-cache": "int4-awq"}


def test_arguments_in_a_file_find_their_control_by_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    defined = {
        "mine": mine(block_size=32).model_copy(update={"quantization": load_variant("fp8").quantization})
    }
    monkeypatch.setattr(
        "configs.controls.load_variant", lambda name, _={}: defined.get(name) or load_variant(name)
    )
    assert with_controls(study(["bf16", "mine"])).controls == {"mine": "fp8"}
    pruned = defined["mine"].model_copy(update={"prune": load_variant("pruned-last-2").prune})
    defined["mine"] = pruned
    with pytest.raises(
        UsageError, match="mine has other engine_args and other weights than the baseline bf16"
    ):
        with_controls(study(["bf16", "mine"]))
    assert with_controls(study(["bf16", "fp8-pruned-last-2", "mine"])).controls == {
        "mine": "fp8-pruned-last-2"
    }


def written(folder: Path, **changes: Any) -> Path:
    """A study's file."""
    fields = {
        "name": "s", "models": ["starcoder2-memorised"], "baseline": "bf16", "variants": ["bf16", "bf16+ngram"],
        "loads": [{"kind": "single_stream"}, {"kind": "closed", "concurrency": 16}],
        "prompts": {"dataset": "starwatt-24"}, "blocks": 3, **changes,
    }  # fmt: skip
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(fields))
    return file


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"variants": ["bf16", "bf16+nonsense"]}, "variants.1: there is no setting 'nonsense'"),
        ({"variants": ["bf16", "bf16+no-prefix-cache"]}, "variants.1: .* is bf16 under another name"),
        (
            {"variants": ["bf16", "bf16+ngram+kv-fp8", "bf16+kv-fp8+ngram"]},
            r"variants.2: bf16\+kv-fp8\+ngram is bf16\+ngram\+kv-fp8 under another name",
        ),
        (
            {"variants": ["bf16", "bf16+tensor-2"], "executor": "side_by_side"},
            r"variants.1: bf16\+tensor-2 takes 2 boards, and a slot has 1",
        ),
        ({"engine": {"data_parallel": 2}, "executor": "side_by_side"}, "variants.0: bf16 takes 2 boards"),
    ],
)  # fmt: skip
def test_a_study_is_refused_with_the_line_of_the_variant(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=f"study.yaml:\\d+: {words}"):
        load_study(written(tmp_path, **changes))


def test_a_setting_is_paired_in_blocks_as_any_variant_is(tmp_path: Path) -> None:
    read = with_controls(load_study(written(tmp_path, variants=["bf16", "bf16+ngram", "int4-awq+kv-fp8"])))
    (tmp_path / "study.yaml").write_text(dump_study(read))
    assert load_study(tmp_path / "study.yaml") == read, "the plan on disk is read again"
    cells = plan_cells(read, 4)
    for block in (1, 2, 3):
        starts = by_engine_start([cell for cell in cells if cell.key.block == block])
        assert sorted(group[0].variant for group in starts) == [
            "bf16",
            "bf16+ngram",
            "int4-awq",
            "int4-awq+kv-fp8",
        ]
        assert all({cell.variant for cell in group} == {group[0].variant} for group in starts)


def test_a_file_by_its_path_takes_settings_too_and_finds_its_chat_template_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\ndescription: d\nengine_args: {chat-template: ./chat.jinja}\n")
    with pytest.raises(
        UsageError, match=r"mine.yaml:3: engine_args.chat_template: there is no file /.*/chat.jinja"
    ):
        named_variant(str(file))
    (tmp_path / "chat.jinja").write_text("{{ messages }}")
    variant = named_variant(f"{file}+ngram")
    assert variant.name == "mine+ngram"
    assert variant.engine_args["chat_template"] == str(tmp_path / "chat.jinja")
    assert (
        variant.engine_args["speculative_config"] == load_setting("ngram").engine_args["speculative_config"]
    )
    file.write_text("name: mine\ndescription: d\nengine_args: {chat_template: '{{ messages }}'}\n")
    assert named_variant(str(file)).engine_args == {"chat_template": "{{ messages }}"}


def test_a_setting_s_file_says_its_own_name_and_something_else_is_refused_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "SETTINGS", tmp_path)
    (tmp_path / "a.yaml").write_text("name: b\ndescription: d\nengine_args: {block_size: 16}\n")
    with pytest.raises(UsageError, match=r"a.yaml:1: name: takes a, which the file is called"):
        load_variant("bf16+a")
    (tmp_path / "a.yaml").write_text("name: a\ndescription: d\nengine_args:\n  block_size: 16\n  port: 80\n")
    with pytest.raises(UsageError, match=r"a.yaml:5: engine_args.port: is not a variant's to set"):
        load_variant("bf16+a")
