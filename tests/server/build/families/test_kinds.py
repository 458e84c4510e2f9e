"""Decoder-only language models are measured; what else there is, is refused with the reason."""

from __future__ import annotations

from typing import Any

import pytest

from server.build.families.kinds import TRIED, UNTRIED_NOTE, check_kind, has_experts, note_of
from starwatt_errors import UsageError

DECODERS: dict[str, dict[str, Any]] = {
    "StarCoder2": {"model_type": "starcoder2", "architectures": ["Starcoder2ForCausalLM"]},
    "Qwen2.5-Coder": {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]},
    "Codestral": {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "is_encoder_decoder": False},
    "GPT-2": {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]},
    "Qwen3-Coder-30B-A3B": {"model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"]},
    "Mamba": {"model_type": "mamba", "architectures": ["MambaForCausalLM"]},
    "one that names no class": {"model_type": "llama"},
    "one whose vision is null": {
        "model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"], "vision_config": None,
    },
    "one of its own code": {
        "model_type": "chatglm", "architectures": ["ChatGLMModel"], "auto_map": {"AutoModelForCausalLM": "m.ChatGLM"},
    },
    "BERT as a decoder": {"model_type": "bert", "architectures": ["BertLMHeadModel"], "is_decoder": True},
}  # fmt: skip
OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "BERT": ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, r"is an encoder \(BertForMaskedLM\)"),
    "ModernBERT without a class": ({"model_type": "modernbert"}, r"is an encoder \(modernbert\)"),
    "CodeBERT": ({"model_type": "roberta", "architectures": ["RobertaModel"]}, "is an encoder"),
    "CodeT5": (
        {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True},
        "is an encoder with a decoder",
    ),
    "Whisper": ({"model_type": "whisper", "is_encoder_decoder": True}, "is an encoder with a decoder"),
    "Qwen2-VL": (
        {"model_type": "qwen2_vl", "architectures": ["Qwen2VLForConditionalGeneration"], "vision_config": {}},
        r"sees pictures \(Qwen2VLForConditionalGeneration\)",
    ),
    "LLaVA with a causal class": (
        {"model_type": "llava_llama", "architectures": ["LlavaLlamaForCausalLM"], "mm_vision_tower": "clip"},
        "sees pictures",
    ),
    "Qwen2-Audio": ({"model_type": "qwen2_audio", "audio_config": {}}, "hears sound"),
    "ViT": ({"model_type": "vit", "architectures": ["ViTForImageClassification"]}, "is a ViTForImageClassification"),
    "a reranker": (
        {"model_type": "qwen3", "architectures": ["Qwen3ForSequenceClassification"]},
        "is a Qwen3ForSequenceClassification, which writes no text",
    ),
    "an embedding model": ({"model_type": "qwen2", "architectures": ["Qwen2Model"]}, "is a Qwen2Model"),
    "nothing": ({}, "names no model_type"),
    "a model_type that is no name": ({"model_type": 3}, "names no model_type"),
}  # fmt: skip


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_only_model_is_taken(name: str) -> None:
    check_kind("./m", DECODERS[name])


@pytest.mark.parametrize("name", OTHERS)
def test_what_writes_no_text_is_refused_with_its_reason_and_what_would_do(name: str) -> None:
    config, reason = OTHERS[name]
    with pytest.raises(UsageError, match=rf"models: \./m {reason}.*decoder-only language models"):
        check_kind("./m", config)


def test_a_family_that_nobody_tried_carries_a_note() -> None:
    assert [note_of(family) for family in TRIED] == [()] * len(TRIED)
    assert note_of("olmo2") == (UNTRIED_NOTE,)
    assert note_of(None) == (), "what is not known is not called untried"


@pytest.mark.parametrize("name", ["num_experts", "num_local_experts", "n_routed_experts"])
def test_a_mixture_of_experts_is_known_by_their_number(name: str) -> None:
    assert has_experts({name: 8})
    assert not has_experts({name: 1})
    assert not has_experts({name: None})
