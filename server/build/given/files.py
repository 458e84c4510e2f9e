"""What a model is by the names of its files alone: those of a folder, or those that the hub lists."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

from starwatt_errors import TraceError, UsageError
from traces.atomic import read_json

_ADAPTER = "adapter_model*.safetensors"
_TOKENIZERS = (
    "tokenizer.json", "tokenizer.model*", "tekken.json", "vocab.*", "*.vocab", "spiece.model", "*.spm", "*.bpe",
    "*sentencepiece*", "*.tiktoken",
)  # fmt: skip
_INSTEAD = {
    "adapter_config.json": (
        "is an adapter (LoRA) without the model that it belongs to: merge the two (peft's merge_and_unload, then "
        "save_pretrained) and name that folder"
    ),
    "*.gguf": (
        "has GGUF files, which are llama.cpp's, and no *.safetensors: name the checkpoint that they were made of"
    ),
    "model_index.json": "is a pipeline of diffusers, which makes pictures: name a language model",
    "params.json": (
        "is in its makers' own format (params.json): name the same model as transformers has it (config.json and "
        "*.safetensors)"
    ),
}
"""Patterns of files, and what a model with such a file is, where it lacks what is read here."""
_OTHER_WEIGHTS = {
    "*.bin": "pickled weights", "*.pt": "pickled weights", "*.pth": "pickled weights", "*.ckpt": "pickled weights",
    "*.onnx": "weights for ONNX", "*.msgpack": "weights for Flax", "*.h5": "weights for TensorFlow",
}  # fmt: skip


def names_in(folder: Path) -> list[str]:
    """Return the files of a folder, and configurations up to two folders below it, as relative paths.

    Raises:
        UsageError: it may not be looked into.
    """
    try:
        here = [file.name for file in folder.iterdir() if file.is_file()]
    except OSError as error:
        raise UsageError(f"models: {folder} cannot be looked into: {error.strerror}") from error
    below = [
        str(file.relative_to(folder))
        for pattern in ("*/config.json", "*/*/config.json")
        for file in folder.glob(pattern)
    ]
    return [*sorted(here), *sorted(below)]


def weight_files(names: Iterable[str]) -> list[str]:
    """List the files that hold a whole model's weights, or parts of them: an adapter's are not among them."""
    return [
        name
        for name in names
        if name.endswith(".safetensors") and "/" not in name and not fnmatch(name, _ADAPTER)
    ]


def check_files(model: str, names: Iterable[str]) -> None:
    """Say what a model is instead, where it has no configuration or no weights in safetensors.

    Raises:
        UsageError: it is no checkpoint that is read here; the message says what would do.
    """
    listed = list(names)
    if "config.json" in listed and weight_files(listed):
        return
    for pattern, words in _INSTEAD.items():
        if any(fnmatch(name, pattern) for name in listed):
            raise UsageError(f"models: {model} {words}")
    if "config.json" in listed:
        raise no_safetensors(model, listed)
    inside = [name.removesuffix("/config.json") for name in listed if name.endswith("/config.json")]
    if inside:
        raise UsageError(
            f"models: {model} has no config.json, but folders in it have: name one of them ({', '.join(inside[:5])})"
        )
    raise UsageError(f"models: {model} has no config.json: it is no checkpoint")


def no_safetensors(model: str, names: Iterable[str]) -> UsageError:
    """Make the error that a model has no weights that are read here."""
    others = [words for name in names for pattern, words in _OTHER_WEIGHTS.items() if fnmatch(name, pattern)]
    if "pickled weights" in others:
        words = (
            "pickled weights alone, and these are never read, for whoever reads them runs what is in them: load it "
            "where you trust it and save it anew (save_pretrained writes *.safetensors)"
        )
    elif others:
        words = f"{others[0]} alone: name the checkpoint that they were made of"
    else:
        words = "no weights: it has no *.safetensors"
    return UsageError(f"models: {model} has {words}")


def check_tokenizer_listed(model: str, names: Iterable[str], where: str) -> None:
    """Look for a tokenizer among the names of files; it is missing where a trainer saved weights alone.

    Args:
        model: as messages name it.
        names: the files of a folder, or those that would be fetched from the hub.
        where: what to do with a tokenizer's files, to end the remedy.

    Raises:
        UsageError: there is none.
    """
    if not any(fnmatch(name, pattern) for name in names for pattern in _TOKENIZERS):
        raise UsageError(
            f"models: {model} has no tokenizer (tokenizer.json, or tokenizer.model): copy the files tokenizer* and "
            f"special_tokens* of the model that it was trained from {where}"
        )


def check_tokenizer(folder: Path, names: Iterable[str]) -> None:
    """Look for a tokenizer in a folder whose files have these ``names``.

    Raises:
        UsageError: there is none, or its ``tokenizer.json`` is no JSON.
    """
    check_tokenizer_listed(str(folder), names, "into it")
    file = folder / "tokenizer.json"
    try:
        readable = not file.is_file() or isinstance(read_json(file), dict)
    except TraceError:
        readable = False
    if not readable:
        raise UsageError(f"models: {file} cannot be read: it is no JSON object; fetch it again")
