"""Code that a checkpoint names beside a class that transformers has is left alone, as transformers itself does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from server.build.families.kinds import TRIED
from server.build.families.loading import load_model
from server.build.families.native import is_native
from tests.server.build.families.conftest import tiny

LEFT = {"AutoConfig": "configuration.Mine", "AutoModelForCausalLM": "modeling.Mine"}


@pytest.mark.parametrize(
    ("config", "native"),
    [
        ({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}, True),
        ({"model_type": "deepseek_v2", "architectures": ["DeepseekV2ForCausalLM"]}, True),
        ({"model_type": "llama", "architectures": ["MyLlamaForCausalLM"]}, False),
        ({"model_type": "internlm2", "architectures": ["InternLM2ForCausalLM"]}, False),
        ({"model_type": "deepseek_v2", "architectures": ["DeepseekForCausalLM"]}, False),
        ({"model_type": "llama"}, False),
        ({"architectures": ["LlamaForCausalLM"]}, False),
    ],
)
def test_a_class_is_native_where_transformers_has_it_for_the_family(
    config: dict[str, Any], *, native: bool
) -> None:
    assert is_native(config) == native


def test_the_classes_of_the_tried_families_are_those_of_transformers() -> None:
    assert {family: MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[family] for family in TRIED} == TRIED


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_transformers_loads_its_own_class_beside_code_that_does_not_even_exist(tmp_path: Path) -> None:
    tiny("llama").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "auto_map": LEFT}))
    assert is_native(config)
    assert type(load_model(tmp_path)).__name__ == "LlamaForCausalLM"
