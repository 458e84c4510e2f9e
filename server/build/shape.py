"""Read how large a model is from its configuration: what its weights weigh in each format, before they are here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from configs.variant import W4A16, Awq, BitsAndBytes, Gptq, NoQuantization, ReadyMade, Variant

_WITHOUT_GATE = (
    "starcoder2", "gpt_bigcode", "gpt_neox", "gpt2", "gptj", "gpt_neo", "codegen", "phi", "bloom", "falcon", "mpt",
    "opt", "nemotron",
)  # fmt: skip
"""Types of models whose feed-forward layers have two matrices; the others' have three."""
_ALIASES = {
    "hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
    "intermediate_size": "n_inner", "max_position_embeddings": "n_positions",
}  # fmt: skip
"""How the GPT-2 of transformers, and what came from it, names dimensions."""
_EVERY_MODEL_HAS = ("hidden_size", "num_hidden_layers", "vocab_size")
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
_IN_THE_NAME = re.compile(r"(\d+(?:\.\d+)?)b(?![a-z])", re.IGNORECASE)
_BYTES_OF = {"bfloat16": 2.0, "float16": 2.0, "float32": 4.0}


@dataclass(frozen=True)
class Shape:
    """Hold what speed and memory depend on."""

    layers: int
    linear: float
    """Parameters of the decoder layers: those that a format quantises."""
    embedding: float
    """Parameters of the embedding, and of the output where that has its own: no format quantises them."""
    positions: int | None = None
    """The longest sequence; None where the configuration does not say."""
    heads: int | None = None
    kv_heads: int | None = None
    inputs: tuple[int, ...] = ()
    """Widths of the inputs that boards share: of the matrices after attention and after the activation function."""
    group: int | None = None
    """Weights that share one scale, where it says that it is quantised so."""

    @property
    def parameters(self) -> float:
        """Count all of them."""
        return self.linear + self.embedding

    def without(self, layers: int) -> Shape:
        """Return the shape with so many layers fewer."""
        left = max(self.layers - layers, 1)
        return replace(self, layers=left, linear=self.linear * left / self.layers)


def shape_of(config: Mapping[str, Any]) -> Shape | None:
    """Read a ``config.json``; None where it lacks a dimension."""
    try:
        config = in_the_usual_names(config)
        hidden, layers = int(config["hidden_size"]), int(config["num_hidden_layers"])
        inner, words = int(config["intermediate_size"]), int(config["vocab_size"])
        heads = int(config["num_attention_heads"])
        kv_heads = int(config.get("num_key_value_heads") or (1 if config.get("multi_query") else heads))
        of_head = int(config.get("head_dim") or hidden // heads)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    attention = 2 * hidden * of_head * (heads + kv_heads)
    matrices = 2 if config.get("model_type") in _WITHOUT_GATE else 3
    linear = layers * (attention + matrices * hidden * _widths(config, inner))
    embedding = words * hidden * (1 if config.get("tie_word_embeddings") else 2)
    positions = config.get("max_position_embeddings")
    return Shape(
        layers, linear, embedding, positions if isinstance(positions, int) else None, heads, kv_heads,
        (heads * of_head, inner), _group(config.get("quantization_config")),
    )  # fmt: skip


def odd_dimension(config: Mapping[str, Any]) -> tuple[str, Any] | None:
    """Return the first dimension of a ``config.json`` that is none, and what it says; None where all are some."""
    for name in _EVERY_MODEL_HAS:
        if name in config and (type(config[name]) is not int or config[name] < 1):
            return name, config[name]
    return None


def in_the_usual_names(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the same of GPT-2 and what came from it in the names that all others use, with what they leave unsaid."""
    if "n_embd" not in config:
        return config
    said = {name: config[alias] for name, alias in _ALIASES.items() if config.get(alias) is not None}
    unsaid = {"intermediate_size": 4 * int(config["n_embd"]), "tie_word_embeddings": True}
    return {**unsaid, **said, **config}


def _widths(config: Mapping[str, Any], inner: int) -> int:
    """Return the width of a layer's feed-forward part: that of all experts together where there are several."""
    experts = next((config[name] for name in _EXPERTS if isinstance(config.get(name), int)), 0)
    if experts < 2:
        return inner
    each = config.get("moe_intermediate_size")
    return int(experts * (each if isinstance(each, int) else inner))


def _group(quantization: Any) -> int | None:
    """Return the groups of a configuration of AWQ, GPTQ or compressed-tensors; None where there are none."""
    if not isinstance(quantization, Mapping):
        return None
    groups = quantization.get("config_groups")
    schemes = list(groups.values()) if isinstance(groups, Mapping) else []
    weights = [scheme.get("weights") for scheme in schemes if isinstance(scheme, Mapping)]
    for settings in (quantization, *weights):
        size = settings.get("group_size") if isinstance(settings, Mapping) else None
        if isinstance(size, int) and size > 0:
            return size
    return None


def shape_by_name(model: str) -> Shape | None:
    """Guess a shape from a name such as ``Qwen2.5-Coder-7B``; None where it tells no size."""
    sizes = [float(size) for size in _IN_THE_NAME.findall(model.rpartition("/")[2])]
    if not sizes:
        return None
    parameters = sizes[-1] * 1e9
    layers = 28 if sizes[-1] < 5 else 32 if sizes[-1] < 10 else 40
    return Shape(layers, 0.95 * parameters, 0.05 * parameters)


def pruned_shape(shape: Shape, variant: Variant) -> Shape:
    """Return the shape that a variant leaves of its model's."""
    prune = variant.prune
    if prune is None:
        return shape
    if prune.layers is not None:
        return shape.without(len(prune.layers))
    if prune.every is not None:
        return shape.without(shape.layers // prune.every)
    counts = (prune.last, prune.first, prune.middle, prune.block_influence, prune.angular_distance)
    return shape.without(next((count for count in counts if count is not None), 0))


def weight_bytes(shape: Shape, variant: Variant) -> float:
    """Count the bytes that an engine reads for each step: the weights of this variant, as they lie in memory."""
    quantization = variant.quantization
    if isinstance(quantization, NoQuantization):
        return shape.parameters * _BYTES_OF[quantization.dtype]
    if isinstance(quantization, BitsAndBytes):
        a_weight = 1.0 if quantization.bits == 8 else 0.5625
        return shape.linear * a_weight + shape.embedding * _BYTES_OF[quantization.dtype]
    if isinstance(quantization, Awq | Gptq | W4A16 | ReadyMade):
        return shape.linear * (0.5 + 2.5 / getattr(quantization, "group_size", 128)) + shape.embedding * 2
    return shape.linear + shape.embedding * 2
