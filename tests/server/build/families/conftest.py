"""Tiny models of many families, with weights as their classes begin them."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel

from server.build.families.loading import empty_model, made_config

_ROTARY = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128,
}  # fmt: skip
_GPT = {"n_embd": 64, "n_layer": 4, "n_head": 4, "n_positions": 128}
SETTINGS: dict[str, dict[str, Any]] = {
    "starcoder2": _ROTARY,
    "qwen2": {
        **_ROTARY, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 2,
        "layer_types": ["full_attention"] * 2 + ["sliding_attention"] * 2,
    },
    "qwen3": {**_ROTARY, "head_dim": 32},
    "llama": _ROTARY,
    "mistral": {**_ROTARY, "sliding_window": 8},
    "gpt_bigcode": {**_GPT, "n_inner": 128},
    "smollm3": {**_ROTARY, "no_rope_layers": [1, 1, 0, 1]},
    "gemma": {**_ROTARY, "head_dim": 16},
    "gemma2": {**_ROTARY, "head_dim": 16, "sliding_window": 8},
    "gpt_neox": {name: value for name, value in _ROTARY.items() if name != "num_key_value_heads"},
    "olmo2": _ROTARY,
    "phi": _ROTARY,
    "mixtral": {**_ROTARY, "num_local_experts": 2, "num_experts_per_tok": 1},
    "qwen2_moe": {
        **_ROTARY, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 32, "decoder_sparse_step": 1, "mlp_only_layers": [0, 3],
    },
    "qwen3_moe": {
        **_ROTARY, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "head_dim": 16,
        "decoder_sparse_step": 2,
    },
    "gpt2": _GPT,
    "gptj": {**_GPT, "rotary_dim": 8},
    "mamba": {"hidden_size": 64, "num_hidden_layers": 4, "state_size": 8},
}  # fmt: skip
"""What is said to each family's configuration."""


def tiny(family: str, dtype: torch.dtype = torch.bfloat16, **more: Any) -> PreTrainedModel:
    """A model of a family: four layers, 64 wide."""
    torch.manual_seed(0)
    ends = {"vocab_size": 300, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    model = empty_model(made_config(family, **{**ends, **SETTINGS[family], **more}))
    return model.to(dtype).eval()
