"""How a checkpoint says that somebody quantised it, and which variants it has then."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from configs.variant import ReadyMade, Variant
from starwatt_errors import UsageError

_BESIDE = {"quantize_config.json": "gptq", "quant_config.json": "awq"}
"""Files beside ``config.json`` in which tools said so before that had a place for it, and their methods."""
_MODELOPT = "hf_quant_config.json"
"""The file in which NVIDIA's ModelOpt said so, where engines do look."""
_OTHER_ENGINES = {"mlx": "MLX", "exl2": "ExLlamaV2", "exl3": "ExLlamaV3"}


def quantised_by(model: str, config: Mapping[str, Any], folder: Path | None = None) -> str | None:
    """Return the method that a checkpoint says it was quantised by, such as ``awq``; None for one that is not.

    Args:
        model: its name, for messages.
        config: its ``config.json``.
        folder: where its files are; None where they are not here.

    Raises:
        UsageError: it is quantised for another engine, or says so where engines do not look.
    """
    method = _method(config)
    if method in _OTHER_ENGINES:
        raise UsageError(
            f"models: {model} is quantised for {_OTHER_ENGINES[method]}, which is another engine: "
            "name the checkpoint that it was made of"
        )
    if method is not None or folder is None:
        return method
    if (folder / _MODELOPT).is_file():
        return "modelopt"
    for name, usual in _BESIDE.items():
        if (folder / name).is_file():
            raise UsageError(
                f"models: {model} is quantised, as its {name} says and its config.json does not, where engines look: "
                f"put that there as quantization_config, with quant_method: {usual}; or remove {name} where it is wrong"
            )
    return None


def check_source(named: str, variant: Variant, quantised: str | None) -> None:
    """Raise UsageError, which begins with ``named``, where ``variant`` takes no source that is ``quantised`` so."""
    ready = isinstance(variant.quantization, ReadyMade)
    if ready and quantised is None:
        raise UsageError(
            f"{named} is not quantised, and ready-made serves what somebody else quantised: "
            "name its checkpoint in the variant's quantization.checkpoints"
        )
    if not ready and quantised is not None:
        raise UsageError(
            f"{named} is quantised already ({quantised}), so that it has no variant {variant.name}; "
            "the variant ready-made serves it as it is"
        )


def _method(config: Mapping[str, Any]) -> str | None:
    """Return what ``config.json`` says; MLX writes two numbers and no name."""
    for name in ("quantization_config", "compression_config", "quantization"):
        settings = config.get(name)
        if isinstance(settings, dict):
            nameless = "mlx" if {"bits", "group_size"} <= settings.keys() else "?"
            return str(settings.get("quant_method") or nameless)
    return None
