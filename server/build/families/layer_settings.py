"""What a configuration says of single layers, and what is left of it when some of them go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starwatt_errors import BuildError

_NO_LAYERS = ("architectures", "mrope_section", "attention_types")
"""Lists that may be as long as there are layers, and are of something else."""
_INDICES = (
    "attn_layer_indices", "cross_attention_layers", "full_attn_idxs", "global_attn_layers", "hybrid_layer_ids",
    "mlp_only_layers", "moe_layers",
)  # fmt: skip
"""Lists of the numbers of some layers."""
_BEGINNINGS = ("first_k_dense_replace", "max_window_layers", "n_dense_layers", "num_dense_layers")
"""How many layers, from the first on, are of another kind than those after them."""
_SHARED = ("num_kv_shared_layers",)
"""How many layers use what an earlier layer has computed."""


def followed(config: Mapping[str, Any], count: int, keep: list[int]) -> dict[str, Any]:
    """Return the settings that change, and their new values, when of ``count`` layers those in ``keep`` (sorted) stay.

    Raises:
        BuildError: layers use what others have computed, so that none can be removed.
    """
    shared = next((name for name in _SHARED if config.get(name)), None)
    if shared is not None:
        raise BuildError(
            f"its last {config[shared]} layers use keys and values of earlier ones ({shared} in config.json): "
            "it has no pruned variant, while its other variants can be measured"
        )
    changes: dict[str, Any] = {}
    for name, value in config.items():
        if name in _INDICES and isinstance(value, list):
            changes[name] = [keep.index(index) for index in value if index in keep]
        elif name in _BEGINNINGS and isinstance(value, int) and value <= count:
            changes[name] = sum(index < value for index in keep)
        elif _is_by_layer(name, value, count):
            changes[name] = [value[index] for index in keep]
    return changes


def _is_by_layer(name: str, value: Any, count: int) -> bool:
    if not isinstance(value, list) or len(value) != count or name in _NO_LAYERS:
        return False
    return not name.endswith(("_token_id", "_token_ids"))
