"""Whether a checkpoint's tokenizer can make a prompt of a chat."""

from __future__ import annotations

from pathlib import Path

from starwatt_errors import TraceError
from traces.atomic import read_json

_CONFIG = "tokenizer_config.json"
_FILES = ("chat_template.jinja", "chat_template.json")
_FOLDER = "additional_chat_templates"
_MISTRALS_OWN = ("tekken.json", "tokenizer.model.v*")
"""Mistral's own tokenizers make the prompt by themselves."""


def has_chat_template(folder: Path) -> bool:
    """Say whether there is a template, in the tokenizer's configuration or beside it."""
    if any((folder / name).is_file() for name in _FILES) or (folder / _FOLDER).is_dir():
        return True
    if any(any(folder.glob(name)) for name in _MISTRALS_OWN):
        return True
    try:
        config = read_json(folder / _CONFIG)
    except TraceError:
        return False
    return isinstance(config, dict) and bool(config.get("chat_template"))
