"""Tell whether a checkpoint needs the code that it names: not where transformers has the class that it names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from server.build.families.kinds import TRIED, class_of, family_of
from server.build.families.questions import words_from

_ASK = (
    "import json; from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as names; "
    "print(json.dumps(dict(names)))"
)


def is_native(config: Mapping[str, Any]) -> bool:
    """Say whether ``config.json`` names the class that transformers itself has for its family.

    Transformers and vLLM then serve it by that class, or by their own of the same name, and leave the code that
    ``auto_map`` names alone unless they are told to trust it.
    """
    family, named = family_of(config), class_of(config)
    if family is None or named is None:
        return False
    return named == (TRIED[family] if family in TRIED else _classes().get(family))


@lru_cache(maxsize=1)
def _classes() -> Mapping[str, str]:
    """Ask the transformers that is installed for its class of each family; none where it does not answer."""
    return words_from("-c", _ASK)
