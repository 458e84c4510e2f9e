"""Keep a run's variants as they were when it began: the files of presets and settings may change meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from configs.differences import differences
from configs.loader import load_variant
from configs.schema import Study
from configs.variant import Variant

_WORDS = {"name", "description"}
"""Fields of a variant that change nothing of what is built and served."""


def frozen(study: Study) -> Study:
    """Keep all variants of a study in ``defined``: files that change while it is measured reach no cell of it."""
    defined = {name: load_variant(name, study.defined) for name in study.own_variants}
    return study.model_copy(update={"defined": {**study.defined, **defined}})


def variants_as_run(study: Study) -> dict[str, Any]:
    """Return what each variant is that is served here, by name: the part ``variants`` of a manifest.

    A chat template that lies in a file is there by its digest, wherever the file lies.
    """
    return {name: _as_run(load_variant(name, study.defined)) for name in study.own_variants}


def changed_variants(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what is served otherwise than it was, by two manifests, a line each; nothing of variants that one lacks.

    Runs that are older than the part ``variants`` have none.
    """
    there, here = earlier.get("variants"), now.get("variants")
    if not isinstance(there, dict) or not isinstance(here, dict):
        return []
    return [
        line
        for name in there
        if name in here
        for line in differences(_as_read_today(there[name]), here[name], f"variants.{name}")
    ]


def _as_run(variant: Variant) -> dict[str, Any]:
    arguments = dict(variant.engine_args)
    template = arguments.get("chat_template")
    if isinstance(template, str) and "{" not in template:  # else there is none, or it is the template itself
        arguments["chat_template"] = _digest(Path(template))
    return variant.model_dump(mode="json", exclude=_WORDS) | {"engine_args": arguments}


def _digest(path: Path) -> str:
    try:
        return f"sha256 {sha256(path.read_bytes()).hexdigest()}"
    except OSError as error:
        return f"a file that cannot be read ({error.strerror})"


def _as_read_today(kept: Any) -> Any:
    """Return a variant that was kept, with what fields are by default that it did not have yet."""
    if not isinstance(kept, dict):
        return kept
    try:
        variant = Variant.model_validate(kept | dict.fromkeys(_WORDS, "kept"))
    except ValidationError:  # of a version that had other fields: these are said to differ
        return kept
    return variant.model_dump(mode="json", exclude=_WORDS)
