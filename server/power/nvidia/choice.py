"""Choose the GPUs that are read: those that a study names, or those that ``CUDA_VISIBLE_DEVICES`` leaves."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from server.power.nvidia.library import NvmlError, Place, places

_HIDDEN = frozenset({"-1", "nodevfiles", "none", "void"})
"""Entries that hide themselves and all after them, as CUDA has it; some are what schedulers write."""
_MOST_DIGITS = 6


@dataclass(frozen=True)
class Choice:
    """Boards that answer, and in words those that are visible and do not."""

    boards: tuple[Place, ...]
    left_out: tuple[str, ...] = ()


def choose(gpus: Sequence[str] | None = None) -> Choice:
    """Choose the boards of ``gpus`` (numbers, UUIDs or their beginnings), or the visible ones, each once.

    Only these must answer. A visible one that does not is left out, with the reason, where another one answers; one
    that ``gpus`` names is missed.

    Raises:
        NvmlError: a board that is named is missing, or none of the visible ones answers.
        NVMLError: NVML does not count its boards.
    """
    here = places()
    wanted = _visible(here) if gpus is None else [_find(gpu, here) for gpu in gpus]
    silent = [f"{place}: {place.problem}" for place in wanted if place.problem is not None]
    answering = {place.number: place for place in wanted if place.problem is None}
    if silent and (gpus is not None or not answering):
        raise NvmlError(f"NVML: {'; '.join(silent)}")
    return Choice(tuple(answering.values()), tuple(dict.fromkeys(silent)))


def _visible(here: Sequence[Place]) -> list[Place]:
    """Return the boards in NVML's order, or those of ``CUDA_VISIBLE_DEVICES`` in its own."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return list(here)
    wanted: list[Place] = []
    for part in filter(None, (piece.strip() for piece in named.split(","))):
        if part.lower() in _HIDDEN:
            break
        wanted.append(_find(part, here))
    return wanted


def _find(gpu: str, here: Sequence[Place]) -> Place:
    """Find the board of a number, a UUID or the beginning of one."""
    if gpu.isascii() and gpu.isdigit():
        matching = [place for place in here if len(gpu) <= _MOST_DIGITS and place.number == int(gpu)]
    else:
        matching = [place for place in here if place.uuid.startswith(gpu)]
    if len(matching) == 1:
        return matching[0]
    raise NvmlError(f"NVML: {_why_none(gpu, matching, here)}")


def _why_none(gpu: str, matching: Sequence[Place], here: Sequence[Place]) -> str:
    """Say why no board is the one that is called so: none of those that are here, or several."""
    if gpu.startswith("MIG-"):
        return f"{gpu} is a MIG instance, and power is known of whole boards alone: switch MIG off"
    if matching:
        return f"{gpu} is the beginning of several: {', '.join(place.uuid for place in matching)}"
    known = ", ".join(place.uuid for place in here if place.uuid) or "none"
    silent = "".join(f"; {place} does not answer: {place.problem}" for place in here if place.problem)
    return f"there is no GPU {gpu} here; there is {known}{silent}"
