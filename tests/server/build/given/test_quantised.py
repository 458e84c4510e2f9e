"""Checkpoints that somebody quantised: by which method, and for which engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from server.build.given.quantised import quantised_by
from starwatt_errors import UsageError

METHODS: dict[str | None, dict[str, Any]] = {
    None: {"model_type": "llama"},
    "awq": {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}},
    "bitsandbytes": {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
    "compressed-tensors": {"compression_config": {"quant_method": "compressed-tensors"}},
    "?": {"quantization_config": {"load_in_4bit": True}},
}
OTHERS: dict[str, dict[str, Any]] = {
    "MLX": {
        "quantization": {"bits": 4, "group_size": 64},
        "quantization_config": {"bits": 4, "group_size": 64},
    },
    "ExLlamaV2": {"quantization_config": {"quant_method": "exl2", "bits": 4.0}},
    "ExLlamaV3": {"quantization_config": {"quant_method": "exl3"}},
}


@pytest.mark.parametrize("method", METHODS)
def test_the_method_is_what_the_configuration_says(method: str | None, tmp_path: Path) -> None:
    assert quantised_by("./m", METHODS[method], tmp_path) == method
    assert quantised_by("owner/m", METHODS[method]) == method, "on the hub"


@pytest.mark.parametrize("engine", OTHERS)
def test_what_is_quantised_for_another_engine_is_refused(engine: str) -> None:
    with pytest.raises(UsageError, match=rf"models: \./m is quantised for {engine}, which is another engine"):
        quantised_by("./m", OTHERS[engine])


def test_mlx_is_known_by_its_older_field_too() -> None:
    with pytest.raises(UsageError, match="for MLX"):
        quantised_by("./m", {"quantization": {"bits": 8, "group_size": 64}})


@pytest.mark.parametrize(("file", "method"), [("quantize_config.json", "gptq"), ("quant_config.json", "awq")])
def test_what_says_so_where_engines_do_not_look_is_refused(file: str, method: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text("{}")
    with pytest.raises(UsageError, match=rf"as its {file} says .* with quant_method: {method}"):
        quantised_by("./m", {}, tmp_path)
    assert quantised_by("./m", METHODS["awq"], tmp_path) == "awq", "where both say so"


def test_what_modelopt_said_beside_the_configuration_counts_for_engines_read_it(tmp_path: Path) -> None:
    (tmp_path / "hf_quant_config.json").write_text('{"quantization": {"quant_algo": "FP8"}}')
    assert quantised_by("./m", {}, tmp_path) == "modelopt"
    assert quantised_by("./m", METHODS["awq"], tmp_path) == "awq", "where both say so"
