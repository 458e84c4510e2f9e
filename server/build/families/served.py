"""What a checkpoint says of itself to whoever records what was served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from server.build.families.kinds import class_of, family_of, note_of
from server.build.sources import read_config
from server.build.store import Checkpoint
from starwatt_errors import UsageError


class Facts(TypedDict):
    """Fields of ``traces.cell.Served``."""

    memorised: bool
    random_weights: bool
    family: str | None
    notes: list[str]


def facts_of(checkpoint: Checkpoint, command: Sequence[str]) -> Facts:
    """Read what a checkpoint is without loading it, and what ``command`` lets the engine do with it."""
    config = _config(checkpoint.path)
    family = family_of(config)
    code_not_run = config.get("auto_map") and "--trust-remote-code" not in command
    return Facts(
        memorised=checkpoint.memorised,
        random_weights=checkpoint.random_weights,
        family=family,
        notes=[*note_of(family), *(["code_not_run"] if code_not_run else [])],
    )


def named_class(folder: Path) -> str | None:
    """Read the class that a checkpoint names; None where it names none."""
    return class_of(_config(folder))


def _config(folder: Path) -> Mapping[str, Any]:
    try:
        return read_config(folder)
    except UsageError:  # what was served is recorded, whatever it lacks
        return {}
