"""What holds for all tests that compute with torch, and a small StarCoder2 of real files, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from configs.architecture import Architecture, Memorised
from configs.loader import load_architecture
from server.build.memorise import build_memorised

SMALL = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 6}


def small_architecture() -> tuple[Architecture, Memorised]:
    """The memorised model, smaller, after three steps of fitting."""
    preset = load_architecture("starcoder2-memorised")
    assert preset is not None
    assert isinstance(preset.weights, Memorised)
    weights = preset.weights.model_copy(update={"steps": 3, "batch": 2})
    architecture = preset.model_copy(update={"weights": weights, "config": {**preset.config, **SMALL}})
    return architecture, weights


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of six layers that has learnt nothing."""
    folder = tmp_path_factory.mktemp("small")
    build_memorised(*small_architecture(), folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Several threads on a busy machine wait for each other, and burn the CPU time that they wait for."""
    torch.set_num_threads(1)
