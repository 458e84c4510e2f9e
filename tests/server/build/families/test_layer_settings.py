"""What a configuration says of single layers follows when layers go."""

from __future__ import annotations

from typing import Any

import pytest

from server.build.families.layer_settings import followed
from starwatt_errors import BuildError

KEEP = [0, 2, 3]
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "kinds of attention": (
        {"layer_types": ["full", "slides", "full", "slides"]},
        {"layer_types": ["full", "full", "slides"]},
    ),
    "windows": ({"sliding_window": [1, 2, 3, 4]}, {"sliding_window": [1, 3, 4]}),
    "one window for all": ({"sliding_window": 4096}, {}),
    "numbers of layers": ({"mlp_only_layers": [1, 3]}, {"mlp_only_layers": [2]}),
    "as many numbers as layers": ({"mlp_only_layers": [0, 1, 2, 3]}, {"mlp_only_layers": [0, 1, 2]}),
    "layers of another kind first": ({"first_k_dense_replace": 2}, {"first_k_dense_replace": 1}),
    "all without a window": ({"max_window_layers": 4}, {"max_window_layers": 3}),
    "a beginning beyond the end": ({"max_window_layers": 28}, {}),
    "ends of a text": ({"eos_token_id": [5, 6, 7, 8]}, {}),
    "a list of another length": ({"bands": [1, 2]}, {}),
}


@pytest.mark.parametrize("name", CASES)
def test_settings_by_layer_follow_and_others_stay(name: str) -> None:
    config, changes = CASES[name]
    assert followed(config, 4, KEEP) == changes


def test_layers_that_share_keys_and_values_cannot_be_taken_apart() -> None:
    with pytest.raises(BuildError, match="its last 2 layers use keys and values of earlier ones"):
        followed({"num_kv_shared_layers": 2}, 4, KEEP)
    assert followed({"num_kv_shared_layers": 0}, 4, KEEP) == {}
