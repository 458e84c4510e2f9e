"""Define what decides a checkpoint's content: the recipes whose digests are the store's keys."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from configs.architecture import Architecture, Memorised
from configs.datasets import load_dataset
from configs.variant import BitsAndBytes, Compressed, Prune
from server.build.store import Checkpoint

Recipe = dict[str, Any]

_WEIGHTS = ("torch", "transformers", "tokenizers")
_COMPRESSED = (*_WEIGHTS, "llmcompressor", "compressed-tensors")


@dataclass(frozen=True)
class Step:
    """One way to make a checkpoint."""

    version: int
    """To be raised when a change of the code can change what it makes: every checkpoint of it is then built anew."""
    packages: tuple[str, ...]
    """Distributions that decide the bytes beside our code."""
    code: tuple[str, ...]
    """Our files that make it; ``tests/server/build/test_recipes.py`` fails when one changes without its version."""


STEPS = {
    "memorise": Step(
        1, _WEIGHTS, ("memorise.py", "families/chats.py", "tokenizer.py", "families/loading.py")
    ),
    "random": Step(2, _WEIGHTS, ("random_weights.py", "tokenizer.py", "families/loading.py")),
    "prune": Step(
        1,
        _WEIGHTS,
        (
            "prune.py",
            "layer_rules.py",
            "layer_scores.py",
            "calibration_text.py",
            "families/layers.py",
            "families/layer_settings.py",
        ),
    ),
    "bitsandbytes": Step(1, (*_WEIGHTS, "bitsandbytes"), ("quantize.py", "families/reach.py")),
    "compressed": Step(
        1,
        _COMPRESSED,
        (
            "compress.py",
            "calibration_text.py",
            "families/smoothing.py",
            "families/layers.py",
            "families/reach.py",
        ),
    ),
}


def made(architecture: Architecture) -> Recipe:
    """Return the recipe of weights that are made here."""
    recipe: Recipe = {"architecture": architecture.model_dump(mode="json", exclude={"description"})}
    if isinstance(architecture.weights, Memorised):
        for name in ("chat", "margin"):  # as it was written before there were any
            if getattr(architecture.weights, name) is None:
                del recipe["architecture"]["weights"][name]
        recipe["dataset"] = load_dataset(architecture.weights.dataset).sha256
        return recipe | _made_by("memorise")
    return recipe | _made_by("random")


def pruned(source: Checkpoint, prune: Prune) -> Recipe:
    """Return the recipe of a source without some of its layers."""
    settings = prune.model_dump(mode="json", exclude_none=True)
    return {"source": source.digest, "prune": settings} | _made_by("prune")


def quantised(source: Checkpoint, quantization: BitsAndBytes | Compressed) -> Recipe:
    """Return the recipe of a source in another format."""
    settings = quantization.model_dump(mode="json", exclude_none=True)
    step = "bitsandbytes" if isinstance(quantization, BitsAndBytes) else "compressed"
    return {"source": source.digest, "quantize": settings} | _made_by(step)


def out_of_date(recipe: Mapping[str, Any]) -> str | None:
    """Say why no build finds this recipe any more; None where one may."""
    step = recipe.get("step")
    if step not in STEPS or "step_version" not in recipe:
        return "made by an older starwatt"
    now = _made_by(str(step))
    if recipe["step_version"] != now["step_version"]:
        return "the code that made it has changed"
    if recipe.get("versions") != now["versions"]:
        return "the packages that made it have changed"
    return None


def _made_by(name: str) -> Recipe:
    """Return the versions of a step and its packages, and Python's: quantisers are calibrated on its library."""
    step = STEPS[name]
    versions = {
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in step.packages},
    }
    return {"step": name, "step_version": step.version, "versions": versions}
