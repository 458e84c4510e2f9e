"""Tell whether a checkpoint needs the code that it names: not where transformers has the class that it names.

Transformers is asked in a process of its own, since torch takes seconds to load.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from server.build.families.kinds import TRIED, class_of, family_of

_ASK = (
    "import json; from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as names; "
    "print(json.dumps(dict(names)))"
)
_TIMEOUT_S = 180.0


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


def words_from(*arguments: str) -> Mapping[str, str]:
    """Run Python with ``arguments``, and return the JSON of its last line; empty where it gives none."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-P", *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return {}
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        return {}
    words: dict[str, str] = json.loads(lines[-1])
    return words
