"""Variants that need no file: a preset, served in another way or without some of its layers.

``NAME-eager``: without torch.compile and CUDA graphs. ``NAME-hf``: by Hugging Face's generate.
``[NAME-]pruned-RULE-N``: without layers, RULE being last, first, middle, every, influence or angular; of bf16 unless
named.
They combine, ways of serving last: ``int4-awq-pruned-influence-2-eager``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from configs.files.problems import words_of
from configs.variant import Prune, Variant
from starwatt_errors import UsageError

FORMS = (
    "NAME-eager, NAME-hf, NAME-pruned-RULE-N with RULE one of last, first, middle, every, influence, angular"
)
_RULES = {
    "last": "last", "first": "first", "middle": "middle", "every": "every",
    "influence": "block_influence", "angular": "angular_distance",
}  # fmt: skip
_PRUNED = re.compile(rf"(?:(?P<base>.+)-)?pruned-(?P<rule>{'|'.join(_RULES)})-(?P<number>[1-9]\d{{0,3}}|0)")
_WAYS: dict[str, tuple[dict[str, Any], str]] = {
    "-eager": ({"enforce_eager": True}, "without torch.compile and CUDA graphs"),
    "-hf": ({"engine": "transformers"}, "served by Hugging Face's generate"),
}


def derived_variant(name: str, load: Callable[[str], Variant]) -> Variant | None:
    """The variant that a name describes, of a preset that ``load`` gives; None where the name has no such form.

    Raises:
        UsageError: what it is derived from is missing, or cannot be changed in this way.
    """
    for suffix, (changes, words) in _WAYS.items():
        base_name = name.removesuffix(suffix)
        if base_name == name or not base_name:
            continue
        base = load(base_name)
        if all(getattr(base, field) == value for field, value in changes.items()):
            raise UsageError(f"variant {name}: {base_name} is {words} already")
        return _changed(base, name, changes, words)
    match = _PRUNED.fullmatch(name)
    if not match:
        return None
    base = load(match["base"] or "bf16")
    if base.prune is not None:
        raise UsageError(f"variant {name}: {base.name} is pruned already")
    try:
        prune = Prune.model_validate({_RULES[match["rule"]]: int(match["number"])})
    except ValidationError as error:
        raise UsageError(f"variant {name}: {words_of(error)}") from error
    words = f"pruned ({match['rule']} {match['number']})"
    return _changed(base, name, {"prune": prune.model_dump(exclude_none=True)}, words)


def _changed(base: Variant, name: str, changes: dict[str, Any], words: str) -> Variant:
    fields = base.model_dump(exclude_none=True) | changes
    try:
        return Variant.model_validate(fields | {"name": name, "description": f"{base.description}; {words}"})
    except ValidationError as error:
        raise UsageError(f"variant {name}: {words_of(error)}") from error
