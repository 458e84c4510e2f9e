"""Whether the weights of a checkpoint are whole, by its index and the heads of its files: nothing of them is loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from server.build.given.files import names_in, weight_files
from starwatt_errors import TraceError, UsageError, first_few
from traces.atomic import read_json

INDEX = "model.safetensors.index.json"
_MISTRALS_OWN = "consolidated*.safetensors"
"""Files that vLLM loads instead of all others, where there are any."""
_LENGTH = 8
"""Bytes at the beginning of a safetensors file that say how long its head is."""
_MOST_HEAD = 100 * 2**20
"""What safetensors itself takes."""
_POINTER = b"version https://git-lfs"
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")
_EMBEDDINGS = ("embed_tokens.weight", "wte.weight")
_A_MATRIX = 2
_MOST_SHOWN = 3

Shapes = dict[str, tuple[int, ...]]
"""Of tensors, by name."""


def check_weights(path: Path) -> Shapes:
    """Read the heads of all files that vLLM loads: with an index, those that it names.

    Raises:
        UsageError: a file is missing that the index names, or one is not whole.
    """
    files = weight_files(names_in(path))
    consolidated = [name for name in files if fnmatch(name, _MISTRALS_OWN)]
    indexed = [] if consolidated else _named_by_the_index(path)
    missing = [name for name in indexed if name not in files]
    if missing:
        lacking = first_few(missing, _MOST_SHOWN)
        raise UsageError(f"models: {path} lacks {lacking}, which its {INDEX} names: fetch what is missing")
    shapes: Shapes = {}
    for file in consolidated or indexed or files:
        shapes.update(_shapes(path / file))
    return shapes


def check_fit(model: str, shapes: Shapes, config: Mapping[str, Any]) -> None:
    """Say that a configuration is not of these weights, for transformers would make up what is missing at random.

    Args:
        model: its name, for messages.
        shapes: of its tensors.
        config: its ``config.json`` in the names that most families use.

    Raises:
        UsageError: there are weights of fewer decoder layers than it says, or of another width.
    """
    remedy = "take the config.json that belongs to these weights"
    layers, width = config.get("num_hidden_layers"), config.get("hidden_size")
    numbers = {int(match[1]) for match in map(_LAYER.search, shapes) if match}
    if numbers and isinstance(layers, int) and max(numbers) + 1 < layers:
        words = (
            f"has weights of {max(numbers) + 1} layers, and its config.json says {layers} (num_hidden_layers)"
        )
        raise UsageError(f"models: {model} {words}: {remedy}")
    for name, shape in shapes.items():
        if (
            name.endswith(_EMBEDDINGS)
            and len(shape) == _A_MATRIX
            and isinstance(width, int)
            and shape[1] != width
        ):
            words = f"has weights {shape[1]} wide ({name}), and its config.json says {width} (hidden_size)"
            raise UsageError(f"models: {model} {words}: {remedy}")


def _named_by_the_index(path: Path) -> list[str]:
    if not (path / INDEX).is_file():
        return []
    try:
        index = read_json(path / INDEX)
    except TraceError as error:
        raise UsageError(f"models: {path / INDEX} cannot be read: fetch it again") from error
    files = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(files, dict):
        raise UsageError(
            f"models: {path / INDEX} has no weight_map, which says where each weight is: fetch it again"
        )
    return sorted({str(name) for name in files.values()})


def _shapes(file: Path) -> Shapes:
    """Read what a file's head says of its tensors, which must fit the size of the file."""
    length, head = _head(file)
    try:
        tensors = {name: tensor for name, tensor in head.items() if name != "__metadata__"}
        end = max((int(tensor["data_offsets"][1]) for tensor in tensors.values()), default=0)
        shapes = {name: tuple(map(int, tensor["shape"])) for name, tensor in tensors.items()}
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise _damaged(file) from error
    size, said = file.stat().st_size, _LENGTH + length + end
    if size != said:
        raise UsageError(
            f"models: {file} is not whole: it has {size} bytes, and its own head says {said}: fetch it again"
        )
    return shapes


def _head(file: Path) -> tuple[int, dict[str, Any]]:
    """Return the length of a file's head in bytes, and what is in it."""
    try:
        with file.open("rb") as stream:
            start = stream.read(len(_POINTER))
            length = int.from_bytes(start[:_LENGTH], "little")
            stream.seek(_LENGTH)
            head = json.loads(stream.read(length if length <= _MOST_HEAD else 0))
    except OSError as error:
        raise UsageError(f"models: {file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        if start == _POINTER:
            raise UsageError(
                f"models: {file} is a pointer of Git LFS, and no weights: `git lfs pull` in its folder fetches them"
            ) from error
        raise _damaged(file) from error
    if not isinstance(head, dict):
        raise _damaged(file)
    return length, head


def _damaged(file: Path) -> UsageError:
    return UsageError(f"models: {file} is no safetensors file, or its beginning is damaged: fetch it again")
