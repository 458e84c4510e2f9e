"""The memorised model, and the text that quantisers are calibrated on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from configs.architecture import Architecture, Memorised
from configs.datasets import Dataset, load_dataset
from configs.loader import load_architecture
from configs.prompt_format import render_prompt
from server.build.calibration_text import (
    CALIBRATION_SAMPLES,
    CALIBRATION_TOKENS,
    calibration_batches,
    library_texts,
)
from server.build.memorise import build_memorised
from server.build.store import file_digest
from starwatt_errors import BuildError
from tests.server.build.conftest import small_architecture


def test_the_same_seed_fits_the_same_weights(small: Path, tmp_path: Path) -> None:
    build_memorised(*small_architecture(), tmp_path)
    assert file_digest(tmp_path / "model.safetensors") == file_digest(small / "model.safetensors")
    assert (tmp_path / "tokenizer.json").read_bytes() == (small / "tokenizer.json").read_bytes()


def test_calibration_text_is_the_same_every_time_and_as_long_as_asked(small: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(small)
    first, second = calibration_batches(tokenizer), calibration_batches(tokenizer)
    assert first == second
    assert len(first["input_ids"]) == CALIBRATION_SAMPLES
    assert {len(sample) for sample in first["input_ids"]} == {CALIBRATION_TOKENS}


def test_a_python_without_its_sources_is_told_so() -> None:
    with pytest.raises(BuildError, match=r"no_such_module\.py is missing: take a Python with its sources"):
        library_texts(("no_such_module",))


def test_a_module_of_several_files_gives_its_first() -> None:
    """Python 3.12 made zipfile one: what is a file here is a folder elsewhere."""
    (text,) = library_texts(("json",))
    assert text == Path(json.__file__).read_text(encoding="utf-8")


def barely(tasks: int) -> tuple[Architecture, Memorised]:
    """The demo's model, smaller, for so few tasks that it is fitted in seconds."""
    preset = load_architecture("starcoder2-barely-memorised")
    assert preset is not None
    assert isinstance(preset.weights, Memorised)
    weights = preset.weights.model_copy(update={"batch": tasks})
    config = {**preset.config, "intermediate_size": 256, "num_hidden_layers": 2}
    return preset.model_copy(update={"weights": weights, "config": config}), weights


def leads(folder: Path, texts: list[tuple[str, str]]) -> list[float]:
    """By how many logits each token of the answers is ahead of the best other one, in the saved checkpoint."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = []
    for prompt, answer in texts:
        before, after = (tokenizer.encode(text, add_special_tokens=False) for text in (prompt, answer))
        with torch.no_grad():
            logits = model(torch.tensor([[*before, *after]])).logits[0].float()
        for place, token in enumerate(after, start=len(before)):
            right, others = logits[place - 1, token].item(), logits[place - 1].clone()
            others[token] = -torch.inf
            found.append(right - others.max().item())
    return found


def only_tasks(count: int, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Leave so many tasks for models to be fitted to."""
    whole = load_dataset("starwatt-24")
    few = replace(whole, tasks=whole.tasks[:count])
    monkeypatch.setattr("server.build.memorise.load_dataset", lambda _name: few)
    return few


def test_a_fit_whose_steps_run_out_before_its_margin_fails_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_tasks(1, monkeypatch)
    architecture, recipe = barely(1)
    short = recipe.model_copy(update={"steps": 1})
    with pytest.raises(BuildError, match=r"after 1 steps .* must be at least 0\.5: raise weights\.steps"):
        build_memorised(architecture, short, tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))
    build_memorised(architecture, short.model_copy(update={"margin": None}), tmp_path)


def test_with_a_margin_fitting_ends_as_soon_as_every_token_leads_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = only_tasks(2, monkeypatch)
    architecture, recipe = barely(len(few.tasks))
    build_memorised(architecture, recipe, tmp_path)
    steps = capsys.readouterr().out.count("loss ")
    assert steps < recipe.steps
    parts = [(render_prompt(task.prompt), task) for task in few.tasks]
    texts = [(prompt, task.prompt[len(prompt) :] + task.canonical_solution) for prompt, task in parts]
    assert recipe.margin is not None
    rounded = 0.2  # what bfloat16 changes
    assert min(leads(tmp_path, texts)) > recipe.margin - rounded
