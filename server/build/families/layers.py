"""Find the decoder layers of a model, remove some, and see that what was saved is what was left."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from server.build.families.layer_settings import followed
from starwatt_errors import BuildError

_NUMBERS = ("layer_idx", "layer_index", "layer_id", "layer_number")
"""How modules call the number of their layer: the KV cache goes by it."""
_FEW_WORDS = 64
_PLAIN = (int, float, str, bool, type(None))


def decoder_layers(model: PreTrainedModel) -> tuple[str, torch.nn.ModuleList]:
    """Return the path and the list of a model's decoder layers.

    Raises:
        BuildError: they are not one ``ModuleList`` of as many as the configuration says.
    """
    count = layer_count(model)
    lists: dict[str, torch.nn.ModuleList] = {}
    for path, module in model.named_modules():
        inside = any(path.startswith(f"{outer}.") for outer in lists)
        if isinstance(module, torch.nn.ModuleList) and len(module) == count and not inside:
            lists[path] = module
    if len(lists) != 1:
        what = ", ".join(lists) or "none"
        raise BuildError(
            f"{type(model).__name__}: the {count} decoder layers cannot be found (elsewhere they are one ModuleList; "
            f"here such lists are: {what}): it has no pruned variant, while its other variants can be measured"
        )
    return next(iter(lists.items()))


def layer_count(model: PreTrainedModel) -> int:
    """Return how many decoder layers its configuration says that it has."""
    return int(model.config.get_text_config().num_hidden_layers)


def drop_layers(model: PreTrainedModel, keep: list[int]) -> None:
    """Leave the layers ``keep``, in order; their numbers and the per-layer settings of the configuration follow.

    Raises:
        BuildError: the layers cannot be found, or share what cannot be taken apart.
    """
    path, layers = decoder_layers(model)
    config = model.config.get_text_config()
    changes = followed(config.to_dict(), len(layers), keep)
    left = [layers[index] for index in keep]
    for number, (old, layer) in enumerate(zip(keep, left, strict=True)):
        for module in layer.modules():
            for name in _NUMBERS:
                if getattr(module, name, None) == old:
                    setattr(module, name, number)
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, torch.nn.ModuleList(left))
    config.num_hidden_layers = len(keep)
    for setting, value in changes.items():
        setattr(config, setting, value)


def first_layer_of(config: PreTrainedConfig) -> PreTrainedConfig:
    """Return the configuration of the same model with its first layer alone and next to no vocabulary."""
    small = deepcopy(config)
    text = small.get_text_config()
    for setting, value in followed(text.to_dict(), int(text.num_hidden_layers), [0]).items():
        setattr(text, setting, value)
    text.num_hidden_layers, text.vocab_size = 1, _FEW_WORDS
    text.pad_token_id = text.bos_token_id = text.eos_token_id = None
    return small


def traits(layer: torch.nn.Module) -> dict[str, Any]:
    """Return what a layer is, but its weights and its number: classes, shapes, and plain settings by path."""
    by_path: dict[str, Any] = {}
    for path, module in layer.named_modules():
        by_path[path] = type(module).__name__
        for name, value in vars(module).items():
            if not name.startswith("_") and name not in _NUMBERS and isinstance(value, _PLAIN):
                by_path[f"{path}:{name}"] = value
    for path, parameter in layer.named_parameters():
        by_path[f"{path}:shape"] = tuple(parameter.shape)
    by_path.pop(":training", None)
    return {name: value for name, value in by_path.items() if not name.endswith(":training")}
