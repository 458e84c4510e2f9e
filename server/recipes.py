"""What decides a checkpoint's content: the recipes whose digests are the store's keys."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from configs.architecture import Architecture, Memorised
from configs.datasets import load_dataset
from configs.variant import BitsAndBytes, Compressed, Prune
from server.store import Checkpoint, file_digest

Recipe = dict[str, Any]

_WEIGHTS = ("torch", "transformers", "tokenizers")
_COMPRESSED = (*_WEIGHTS, "llmcompressor", "compressed-tensors")
_STEPS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "memorise": (("memorise.py", "tokenizer.py"), _WEIGHTS),
    "random": (("random_weights.py", "tokenizer.py"), _WEIGHTS),
    "prune": (("prune.py", "layer_rules.py", "layer_scores.py", "calibration_text.py"), _WEIGHTS),
    "bitsandbytes": (("quantize.py",), (*_WEIGHTS, "bitsandbytes")),
    "compressed": (("compress.py", "calibration_text.py"), _COMPRESSED),
}
"""By step: the files of ours that make it, and the packages."""


def made(architecture: Architecture) -> Recipe:
    """Of weights that are made here."""
    recipe: Recipe = {"architecture": architecture.model_dump(mode="json", exclude={"description"})}
    if isinstance(architecture.weights, Memorised):
        recipe["dataset"] = load_dataset(architecture.weights.dataset).sha256
        return recipe | _made_by("memorise")
    return recipe | _made_by("random")


def pruned(source: Checkpoint, prune: Prune) -> Recipe:
    """Of a source without some of its layers."""
    settings = prune.model_dump(mode="json", exclude_none=True)
    return {"source": source.digest, "prune": settings} | _made_by("prune")


def quantised(source: Checkpoint, quantization: BitsAndBytes | Compressed) -> Recipe:
    """Of a source in another format."""
    settings = quantization.model_dump(mode="json", exclude_none=True)
    step = "bitsandbytes" if isinstance(quantization, BitsAndBytes) else "compressed"
    return {"source": source.digest, "quantize": settings} | _made_by(step)


def out_of_date(recipe: Mapping[str, Any]) -> str | None:
    """Why no build finds this recipe any more, or None where one may."""
    step = recipe.get("step")
    if step not in _STEPS:
        return "made by an older starwatt"
    now = _made_by(str(step))
    if recipe.get("code") != now["code"]:
        return "the code that made it has changed"
    if recipe.get("versions") != now["versions"]:
        return "the packages that made it have changed"
    return None


def _made_by(step: str) -> Recipe:
    """The code and the versions of a step; Python's too: its library is what quantisers are calibrated on."""
    files, packages = _STEPS[step]
    here = Path(__file__).parent
    code = hashlib.sha256("".join(file_digest(here / name) for name in files).encode()).hexdigest()
    versions = {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}}
    return {"step": step, "code": code, "versions": versions}
