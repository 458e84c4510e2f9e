"""Whether a checkpoint's tokenizer can make a prompt of a chat."""

from __future__ import annotations

from pathlib import Path

from starwatt_errors import TraceError
from traces.atomic import read_json

_CONFIG = "tokenizer_config.json"
_FILES = ("chat_template.jinja", "chat_template.json", "additional_chat_templates/default.jinja")
_MISTRALS_OWN = ("tekken.json", "tokenizer.model.v*")
"""Mistral's own tokenizers make the prompt by themselves."""


def has_chat_template(folder: Path) -> bool:
    """Say whether there is a template, in the tokenizer's configuration or beside it.

    Of several that have names, servers take the one that is called ``default``.
    """
    if any((folder / name).is_file() for name in _FILES):
        return True
    if any(any(folder.glob(name)) for name in _MISTRALS_OWN):
        return True
    try:
        config = read_json(folder / _CONFIG)
    except TraceError:
        return False
    template = config.get("chat_template") if isinstance(config, dict) else None
    if isinstance(template, list):
        return any(isinstance(choice, dict) and choice.get("name") == "default" for choice in template)
    return bool(template)
