"""``python -m tests.docs.checkpoints '{"MODEL": ["VARIANT"]}'``: they are in store and hub cache, without weights.

Each lies where a build or a download would have put it, under the digest of its real recipe: nothing is built.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from configs.loader import load_variant
from server.build.checkpoints import build_variant
from server.build.store import Store, store_root

REVISION = "0" * 40


def write_model(folder: Path) -> None:
    """A StarCoder2 without weights and without words."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"model_type": "starcoder2"}')
    (folder / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    (folder / "tokenizer.json").write_text("{}")


def download(model: str) -> None:
    """A hub id, into the hub's cache."""
    snapshots = Path(os.environ["HF_HOME"]) / "hub" / f"models--{model.replace('/', '--')}" / "snapshots"
    write_model(snapshots / REVISION)
    refs = snapshots.with_name("refs")
    refs.mkdir()
    (refs / "main").write_text(REVISION)


def build(model: str, variants: list[str]) -> None:
    """Variants of a model, into the store."""

    def without_weights(*_: object) -> Callable[[Path], None]:
        return write_model

    with patch("server.build.checkpoints._in_a_process", without_weights):
        for variant in variants:
            build_variant(model, load_variant(variant), Store(store_root()), lambda _: None)


def main() -> None:
    """All that are named."""
    for model, variants in json.loads(sys.argv[1]).items():
        if model.startswith("./"):
            write_model(Path(model))
        elif "/" in model:
            download(model)
        build(model, variants)


if __name__ == "__main__":
    main()
