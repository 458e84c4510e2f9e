"""The checkpoints that are rehearsed: tiny's, really built, and folders of the true shapes without weights."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.command import STARWATT
from benchmarks.rehearsal.verdicts import Asked
from configs.loader import load_architecture, load_variant, variant_names

TINY = "starcoder2-memorised"
SHAPES = ("starcoder2-3b", "starcoder2-7b", "starcoder2-15b")
_BESIDE = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")
_BUILD_S = 3600
_LAYERS = 2
"""Of a shape: all are alike, and each takes its time."""


def rehearsed_variants() -> list[str]:
    """Presets that vLLM serves, one that is eager and one that is pruned."""
    presets = [load_variant(name) for name in variant_names()]
    ours = [one.name for one in presets if one.engine == "vllm" and one.quantization.kind != "ready-made"]
    return [*ours, "bf16-eager", "bf16-pruned-last-1"]


def built(variants: Sequence[str]) -> dict[str, Path]:
    """Tiny's checkpoints by variant, built by this environment where they are not in its store yet.

    Raises:
        subprocess.CalledProcessError: one could not be built; what was wrong is on stderr.
    """
    said = subprocess.run(
        [*STARWATT, "build", *variants, "--model", TINY],
        check=True, stdout=subprocess.PIPE, stderr=sys.stderr, text=True, timeout=_BUILD_S,
    ).stdout  # fmt: skip
    pairs = (line.split("\t") for line in said.splitlines() if "\t" in line)
    return {variant: Path(folder) for variant, folder in pairs}


def asked(checkpoints: Mapping[str, Path], boards: Sequence[int], folder: Path) -> list[Asked]:
    """Every variant of tiny and of each shape on so many boards; the shapes' folders are written below ``folder``."""
    wanted = []
    for variant, tiny in checkpoints.items():
        for number in boards:
            wanted.append(Asked("tiny", variant, str(tiny), number, has_weights=True))
            wanted += [
                Asked(
                    shape.removeprefix("starcoder2-"),
                    variant,
                    str(_shape(folder, shape, variant, tiny)),
                    number,
                )
                for shape in SHAPES
            ]
    return wanted


def _shape(folder: Path, name: str, variant: str, tiny: Path) -> Path:
    """A checkpoint of a true shape: tiny's configuration with its dimensions, and a file of weights that has none."""
    place = folder / f"{name}-{variant}"
    place.mkdir(parents=True, exist_ok=True)
    (place / "config.json").write_text(
        json.dumps(shaped(json.loads((tiny / "config.json").read_text()), name))
    )
    for file in _BESIDE:
        if (tiny / file).is_file():
            shutil.copyfile(tiny / file, place / file)
    header = b'{"__metadata__":{"format":"pt"}}'
    (place / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    return place


def shaped(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A checkpoint's configuration, its format's part included, with another architecture's dimensions."""
    architecture = load_architecture(name)
    assert architecture is not None
    dimensions = {**architecture.config, "vocab_size": architecture.weights.vocabulary}
    theta = architecture.config["rope_theta"]
    merged = {
        **config,
        **dimensions,
        "rope_parameters": {**(config.get("rope_parameters") or {}), "rope_theta": theta},
    }
    return {**merged, "num_hidden_layers": min(_LAYERS, config["num_hidden_layers"])}
