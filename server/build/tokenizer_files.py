"""Whether a checkpoint has chats, and how many tokens its prompts are: by the files of its tokenizer alone."""

from __future__ import annotations

from collections.abc import Sequence
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


def count_tokens(folder: Path, prompts: Sequence[str]) -> list[int] | None:
    """Count each prompt's tokens as a server does, special ones included; None where no ``tokenizer.json`` reads."""
    file = folder / "tokenizer.json"
    if not file.is_file():
        return None
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception:  # noqa: BLE001 -- the library raises nothing narrower; the engine's own words come later
        return None
    return [len(encoded.ids) for encoded in tokenizer.encode_batch(list(prompts))]
