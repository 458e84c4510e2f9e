"""What a checkpoint says of itself to whoever records what was served."""

from __future__ import annotations

from collections.abc import Mapping
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


def facts_of(checkpoint: Checkpoint) -> Facts:
    """What is known of a checkpoint without loading it."""
    family = family_of(_config(checkpoint.path))
    return Facts(
        memorised=checkpoint.memorised,
        random_weights=checkpoint.random_weights,
        family=family,
        notes=list(note_of(family)),
    )


def named_class(folder: Path) -> str | None:
    """The class that a checkpoint names; None where it names none."""
    return class_of(_config(folder))


def _config(folder: Path) -> Mapping[str, Any]:
    try:
        return read_config(folder)
    except UsageError:  # what was served is recorded, whatever it lacks
        return {}
