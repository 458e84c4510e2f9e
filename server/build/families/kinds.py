"""Say whether a model is one that is measured: a decoder-only language model, by what its configuration says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starwatt_errors import UsageError

TRIED = {
    "starcoder2": "Starcoder2ForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM",
    "llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM", "gpt_bigcode": "GPTBigCodeForCausalLM",
}  # fmt: skip
"""Families whose formats were compared with Transformers here (docs/measurements/families.md), and their classes there;
other families carry a note."""
UNTRIED_NOTE = "untested_family"

_WRITES = ("ForCausalLM", "LMHeadModel")
"""Ends of the names of classes that write text from left to right."""
_SENSES = {
    "vision_config": "sees pictures", "vision_tower": "sees pictures", "mm_vision_tower": "sees pictures",
    "image_token_id": "sees pictures", "image_token_index": "sees pictures",
    "audio_config": "hears sound", "speech_config": "hears sound",
}  # fmt: skip
_ENCODERS = (
    "albert", "bert", "camembert", "deberta", "deberta-v2", "distilbert", "electra", "ernie", "megatron-bert",
    "modernbert", "mpnet", "nomic_bert", "roberta", "xlm-roberta", "xmod",
)  # fmt: skip
_PAIRS = ("bart", "codet5", "marian", "mbart", "mt5", "pegasus", "plbart", "t5", "umt5", "whisper")
"""Families of an encoder and a decoder."""
_REMEDY = (
    "starwatt measures decoder-only language models (a class ...ForCausalLM), such as bigcode/starcoder2-3b or "
    "Qwen/Qwen2.5-Coder-1.5B"
)


def check_kind(model: str, config: Mapping[str, Any]) -> None:
    """Raise UsageError, with the reason, where ``config.json`` is of no decoder-only language model."""
    reason = _why_not(config)
    if reason is not None:
        raise UsageError(f"models: {model} {reason}: {_REMEDY}")


def family_of(config: Mapping[str, Any]) -> str | None:
    """Return the name that transformers has for a model's family; None where its configuration names none."""
    family = config.get("model_type")
    return family if isinstance(family, str) and family else None


def class_of(config: Mapping[str, Any]) -> str | None:
    """Return the class that a checkpoint names first; None where it names none."""
    named = config.get("architectures")
    classes = [name for name in named if isinstance(name, str)] if isinstance(named, list) else []
    return classes[0] if classes else None


def note_of(family: str | None) -> tuple[str, ...]:
    """Return the note of a family that nobody tried here; nothing for one that is tried, or that is not known."""
    return () if family is None or family in TRIED else (UNTRIED_NOTE,)


def has_experts(config: Mapping[str, Any]) -> bool:
    """Say whether its layers are mixtures of experts."""
    counts = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
    return any(isinstance(config.get(name), int) and config[name] > 1 for name in counts)


def _why_not(config: Mapping[str, Any]) -> str | None:
    family = family_of(config)
    if family is None:
        return "names no model_type in its config.json"
    named = class_of(config)
    what = named or family
    sense = next((words for key, words in _SENSES.items() if config.get(key) is not None), None)
    if sense is not None:
        return f"{sense} ({what}), and is no model of text alone"
    if config.get("is_encoder_decoder") or family in _PAIRS:
        return f"is an encoder with a decoder ({what})"
    if family in _ENCODERS and not config.get("is_decoder"):
        return f"is an encoder ({what}), which writes no text"
    if named is not None and not _writes(named, config.get("auto_map")):
        return f"is a {what}, which writes no text from left to right"
    return None


def _writes(named: str, code_beside: Any) -> bool:
    """Say whether a class writes text, by its name or by what the code beside the weights calls itself."""
    says_so = isinstance(code_beside, Mapping) and "AutoModelForCausalLM" in code_beside
    return says_so or named.endswith(_WRITES)
