"""Settings of vLLM that a variant has of its own: its flags without the dashes, but for those that starwatt sets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, JsonValue, ValidationError

from configs.engine.settings import EngineSettings
from configs.files.problems import words_of
from configs.files.strict import inconsistent

_OF_A_STUDY = {
    "tensor_parallel_size": "tensor_parallel",
    "pipeline_parallel_size": "pipeline_parallel",
    "data_parallel_size": "data_parallel",
    "max_num_seqs": "max_num_seqs",
    "enable_prefix_caching": "prefix_cache",
}
"""Arguments that a study sets for all variants, as ``engine:`` has them: a variant's own takes their place."""
_MODEL = "the study says which model"
_CHECKPOINT = "it comes from the checkpoint, which is built and checked here"
_ADDRESS = "starwatt chooses where the engine listens, and who may ask it"
_WATCHED = "starwatt reads the engine's log, counters and token counts"
_BOARDS = "starwatt chooses the boards, all of one machine: *_parallel_size says how many"
_TEXT = "starwatt measures answers in text"
_OURS = {
    **dict.fromkeys(("model", "model_tag", "served_model_name", "tokenizer", "config", "hf_config_path"), _MODEL),
    **dict.fromkeys(
        ("revision", "code_revision", "tokenizer_revision", "download_dir", "load_format", "config_format"),
        _CHECKPOINT,
    ),
    **dict.fromkeys(
        ("host", "port", "uds", "api_key", "root_path", "headless", "grpc", "grpc_port", "enable_ssl_refresh"),
        _ADDRESS,
    ),
    **dict.fromkeys(
        (
            "enable_prompt_tokens_details", "disable_log_stats", "disable_uvicorn_access_log", "uvicorn_log_level",
            "logging_config", "log_level", "log_config_file", "enable_log_requests", "enable_log_outputs",
            "disable_access_log_for_endpoints", "aggregate_engine_logging",
        ),
        _WATCHED,
    ),
    **dict.fromkeys(
        (
            "device_ids", "nnodes", "node_rank", "master_addr", "master_port", "data_parallel_rank",
            "data_parallel_start_rank", "data_parallel_size_local", "data_parallel_address",
            "data_parallel_rpc_port", "data_parallel_hybrid_lb", "data_parallel_external_lb",
            "data_parallel_multi_port_external_lb", "data_parallel_supervisor_port",
        ),
        _BOARDS,
    ),
    **dict.fromkeys(("runner", "convert", "task", "skip_tokenizer_init", "tokens_only"), _TEXT),
    "hf_token": "it is a secret, which no file of a study holds: set HF_TOKEN, and build the variant",
    "seed": "seed: of the study is the engine's too",
    "dtype": "quantization: of the variant says it (kind: none takes a dtype)",
    "quantization": "quantization: of the variant says it",
    "enforce_eager": "enforce_eager: of the variant says it, beside engine_args",
    "trust_remote_code": "trust_remote_code: of the variant says it, beside engine_args",
    "max_model_len": "engine.max_model_len of the study says it, for all variants",
    "gpu_memory_utilization": "engine.gpu_memory_utilization of the study says it, for all variants",
}  # fmt: skip
"""Arguments that are starwatt's own, and who says them."""
_OUR_FAMILIES = ("ssl_", "dp_supervisor_")


def _spelled(value: Any) -> Any:
    """Spell names as Python does: vLLM's own files write ``kv-cache-dtype``."""
    if not isinstance(value, dict):
        return value
    names = [str(name).replace("-", "_") for name in value]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"names {name} twice")
    return dict(zip(names, value.values(), strict=True))


def _checked(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Refuse what is no name of an argument, what is ours, and null; sorted, for its order means nothing."""
    for name, given in value.items():
        if name.startswith("_"):
            raise inconsistent(name, "takes the flag's name without the dashes before it")
        if not name.isidentifier():
            raise inconsistent(name, "takes the name of one of vLLM's flags, such as max_num_batched_tokens")
        ours = _OURS.get(name) or (_ADDRESS if name.startswith(_OUR_FAMILIES) else None)
        if ours is not None:
            raise inconsistent(name, f"is not a variant's to set: {ours}")
        if given is None:
            raise inconsistent(name, "takes a value: leave the argument out for vLLM's own")
    for name, field in _OF_A_STUDY.items():
        if name in value:
            try:
                EngineSettings.model_validate({field: value[name]})
            except ValidationError as error:
                raise inconsistent(name, words_of(error)) from error
    return dict(sorted(value.items()))


EngineArgs = Annotated[
    dict[str, JsonValue],
    BeforeValidator(_spelled),
    AfterValidator(_checked),
]
"""vLLM's own flags without the dashes, such as ``{kv_cache_dtype: fp8}``."""


def with_arguments(settings: EngineSettings, args: Mapping[str, JsonValue]) -> EngineSettings:
    """Return a study's settings as an engine with these arguments has them: those of its own come first."""
    replaced = {field: args[name] for name, field in _OF_A_STUDY.items() if name in args}
    return settings.model_copy(update=replaced)


def other_arguments(args: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return those that no study's ``engine:`` knows."""
    return {name: value for name, value in args.items() if name not in _OF_A_STUDY}


def flags(args: Mapping[str, JsonValue]) -> list[str]:
    """Write them as a command line has them: ``--name``, ``--no-name``, ``--name=VALUE``, mappings as JSON."""
    return [part for name, value in args.items() for part in _flag(name.replace("_", "-"), value)]


def _flag(name: str, value: JsonValue) -> Iterator[str]:
    if isinstance(value, bool):
        yield f"--{name}" if value else f"--no-{name}"
    elif isinstance(value, list):
        yield from (f"--{name}", *map(_word, value))
    else:
        yield f"--{name}={_word(value)}"


def _word(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
