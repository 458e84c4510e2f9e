"""Derive variants that need no file: a preset, served in another way or without some of its layers.

``NAME-eager``: without torch.compile and CUDA graphs. ``NAME-hf``: by Hugging Face's generate.
``[NAME-]pruned-RULE-N``: without layers, RULE being last, first, middle, every, influence or angular; of bf16 unless
named.
They combine, ways of serving last: ``int4-awq-pruned-influence-2-eager``.
``NAME+SETTING``: with settings of the engine (``configs/settings``), as many as go together: ``int4-awq+kv-fp8+ngram``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from configs.files.problems import words_of
from configs.variant import Prune, Setting, Variant
from starwatt_errors import UsageError

FORMS = (
    "NAME-eager, NAME-hf, NAME-pruned-RULE-N with RULE one of last, first, middle, every, influence, angular; "
    "and NAME+SETTING"
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
    """Return the variant that a name describes, of a preset that ``load`` gives; None where the name has no such form.

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


def combined_variant(base: Variant, names: list[str], load: Callable[[str], Setting]) -> Variant:
    """Return a variant with settings of the engine, each by its name.

    Raises:
        UsageError: one is missing, is named twice, sets what another or the variant sets, or cannot be combined.
    """
    name = "+".join([base.name, *names])
    args, said_by = dict(base.engine_args), dict.fromkeys(base.engine_args, base.name)
    for place, setting in enumerate(map(load, names)):
        if setting.name in names[:place]:
            raise UsageError(f"variant {name}: names {setting.name} twice")
        for argument, value in setting.engine_args.items():
            if argument in args and args[argument] != value:
                other = said_by[argument]
                raise UsageError(
                    f"variant {name}: {other} and {setting.name} both set {argument}, to two values"
                )
            args[argument], said_by[argument] = value, setting.name
    return _changed(base, name, {"engine_args": args}, f"with {', '.join(names)}")


def _changed(base: Variant, name: str, changes: dict[str, Any], words: str) -> Variant:
    fields = base.model_dump(exclude_none=True) | {"engine_args": base.engine_args} | changes
    try:
        return Variant.model_validate(fields | {"name": name, "description": f"{base.description}; {words}"})
    except ValidationError as error:
        raise UsageError(f"variant {name}: {words_of(error)}") from error
