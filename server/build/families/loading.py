"""Load a checkpoint as a causal language model, by transformers' own classes: no code beside the weights is run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from starwatt_errors import BuildError, first_few, reason_of

_MOST_SHOWN = 3


def load_model(source: Path, **options: Any) -> PreTrainedModel:
    """Load the model of a checkpoint, all of whose weights are there; ``options`` go to ``from_pretrained``.

    Raises:
        BuildError: transformers does not know its family, or the files are not what its configuration says.
    """
    model, told = load_and_tell(source, **options)
    missing = sorted(map(str, told["missing_keys"]))
    if missing:  # transformers made them up at random
        raise BuildError(f"{source} lacks weights of its model: {first_few(missing, _MOST_SHOWN)}")
    return model


def load_and_tell(source: Path, **options: Any) -> tuple[PreTrainedModel, Mapping[str, Any]]:
    """Load the model of a checkpoint, and what transformers says of its weights: ``missing_keys`` and others.

    Raises:
        BuildError: as of ``load_model``, but for weights that are missing.
    """
    try:
        model, told = AutoModelForCausalLM.from_pretrained(
            source, trust_remote_code=False, output_loading_info=True, **options
        )
    except (ValueError, KeyError, OSError, RuntimeError, SafetensorError) as error:
        raise BuildError(f"{source} cannot be loaded by transformers: {_first_line(error)}") from error
    return model, told


def shapes_alone(source: Path) -> PreTrainedModel:
    """Return the model of a checkpoint without its weights: names and shapes.

    Raises:
        BuildError: transformers does not know its family, or has no such language model.
    """
    try:
        return meta_model(AutoConfig.from_pretrained(source, trust_remote_code=False))
    except (ValueError, KeyError, OSError, RuntimeError) as error:
        raise BuildError(f"{source} is of no kind that transformers has: {_first_line(error)}") from error


def load_tokenizer(source: Path) -> Any:
    """Load the tokenizer of a checkpoint.

    Raises:
        BuildError: it cannot be read, or wants code of its own.
    """
    try:
        return AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (ValueError, KeyError, OSError) as error:
        raise BuildError(f"the tokenizer of {source} cannot be loaded: {_first_line(error)}") from error


def made_config(family: str, **settings: Any) -> PreTrainedConfig:
    """Return the configuration of a family, for a model that is made here."""
    return AutoConfig.for_model(family, **settings)


def empty_model(config: PreTrainedConfig) -> PreTrainedModel:
    """Return the model of a configuration, with weights as its class begins them."""
    model: PreTrainedModel = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)](config)
    return model


def meta_model(config: PreTrainedConfig) -> PreTrainedModel:
    """Return the same without any weights: names and shapes alone."""
    with torch.device("meta"):
        return empty_model(config)


def _first_line(error: Exception) -> str:
    return (reason_of(error).splitlines() or [type(error).__name__])[0]
