"""Removes whole decoder layers of a StarCoder2 and saves what is left as an ordinary checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoTokenizer, Starcoder2ForCausalLM

from configs.schema import Prune
from starwatt_errors import BuildError


def prune_layers(source: Path, out: Path, prune: Prune) -> None:
    """Cut off the last ``prune.last`` layers; layer numbers and the configuration follow.

    Raises:
        BuildError: fewer layers than that, or none would be left.
    """
    model = Starcoder2ForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
    layers = model.model.layers
    keep = len(layers) - prune.last
    if keep < 1:
        raise BuildError(
            f"cannot cut the last {prune.last} of {len(layers)} layers: at least one must be left"
        )
    model.model.layers = torch.nn.ModuleList(layers[:keep])
    model.config.num_hidden_layers = keep
    layer_types = getattr(model.config, "layer_types", None)
    if layer_types is not None:
        model.config.layer_types = layer_types[:keep]
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(source).save_pretrained(out)
