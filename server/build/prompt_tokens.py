"""Count the tokens of a prompt by a checkpoint's own tokenizer, without loading anything else of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


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
