"""Checkpoints of a study's models and variants, built before anything is measured."""

from __future__ import annotations

from configs.loader import load_variant
from server.build.checkpoints import build_variant
from server.build.store import Checkpoint, Store, store_root
from study.progress.display import Display

Checkpoints = dict[tuple[str, str], Checkpoint]


def build_all(models: tuple[str, ...], variants: tuple[str, ...]) -> Checkpoints:
    """The checkpoint of every model and variant; nothing is done for those in the store."""
    store = Store(store_root())
    checkpoints: Checkpoints = {}
    with Display("checkpoint", len(models) * len(variants)) as display:
        for model in models:
            for name in variants:
                display.title(f"{model} · {name}")
                checkpoints[model, name] = build_variant(model, load_variant(name), store, display.note)
                display.advance()
    return checkpoints
