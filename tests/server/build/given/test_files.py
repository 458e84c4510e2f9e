"""What people name as a model and is none that can be served: said by the names of its files, with what would do."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.build.given.files import check_files, check_tokenizer, names_in, weight_files
from starwatt_errors import UsageError

TAKEN = {
    "one file": ["config.json", "model.safetensors"],
    "several with their index": [
        "config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    ],
    "weights in all formats": ["config.json", "model.safetensors", "pytorch_model.bin", "m.gguf", "onnx/model.onnx"],
    "a model with an adapter beside it": [
        "config.json", "model.safetensors", "adapter_config.json", "adapter_model.safetensors",
    ],
    "Mistral's own format beside the usual one": ["config.json", "params.json", "consolidated.safetensors"],
}  # fmt: skip
REFUSED = {
    "an adapter": (
        ["adapter_config.json", "adapter_model.safetensors"], r"is an adapter \(LoRA\) without the model.*merge",
    ),
    "an adapter with its base model's configuration": (
        ["adapter_config.json", "adapter_model.safetensors", "config.json"], "is an adapter",
    ),
    "GGUF": (["m-Q4_K_M.gguf", "config.json"], "has GGUF files, which are llama.cpp's"),
    "GGUF alone": (["m-Q4_K_M.gguf", "README.md"], "has GGUF files"),
    "diffusers": (["model_index.json", "unet/config.json"], "is a pipeline of diffusers"),
    "Mistral's own format": (["params.json", "tekken.json", "consolidated.safetensors"], "in its makers' own format"),
    "Meta's own format": (["params.json", "consolidated.00.pth"], "in its makers' own format"),
    "pickled weights": (["config.json", "pytorch_model.bin"], "has pickled weights alone.*save_pretrained"),
    "pickled parts": (["config.json", "pytorch_model-00001-of-00002.bin", "model.onnx"], "has pickled weights"),
    "ONNX": (["config.json", "model.onnx"], "has weights for ONNX alone"),
    "Flax": (["config.json", "flax_model.msgpack"], "has weights for Flax alone"),
    "no weights at all": (["config.json", "tokenizer.json"], r"has no weights: it has no \*\.safetensors"),
    "weights in a folder": (["config.json", "fp16/model.safetensors"], "has no weights"),
    "a trainer's folder": (
        ["README.md", "checkpoint-500/config.json", "checkpoint-900/config.json"],
        r"folders in it have: name one of them \(checkpoint-500, checkpoint-900\)",
    ),
    "a folder of the hub's cache": (["snapshots/abc/config.json"], r"name one of them \(snapshots/abc\)"),
    "something else": (["thesis.tex"], "has no config.json: it is no checkpoint"),
    "nothing": ([], "has no config.json"),
}  # fmt: skip
TOKENIZERS = [
    "tokenizer.json", "tokenizer.model", "tokenizer.model.v3", "tekken.json", "vocab.json", "vocab.txt", "spiece.model",
    "sentencepiece.bpe.model", "qwen.tiktoken",
]  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_a_model_is_taken_by_its_files(name: str) -> None:
    check_files("./m", TAKEN[name])


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_model_to_serve_is_said_to_be_what_it_is(name: str) -> None:
    files, words = REFUSED[name]
    with pytest.raises(UsageError, match=rf"models: \./m .*{words}|models: \./m {words}"):
        check_files("./m", files)


def test_folders_below_are_looked_into_for_configurations_alone(tmp_path: Path) -> None:
    for name in (
        "model.safetensors",
        "checkpoint-5/config.json",
        "checkpoint-5/optimizer.pt",
        "snapshots/a/config.json",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    names = names_in(tmp_path)
    assert names == ["model.safetensors", "checkpoint-5/config.json", "snapshots/a/config.json"]
    assert weight_files([*names, "adapter_model.safetensors", "b/x.safetensors"]) == ["model.safetensors"]


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_tokenizer_is_known_by_any_of_its_files(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("{}")
    check_tokenizer(tmp_path, names_in(tmp_path))


def test_weights_without_a_tokenizer_are_refused_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(UsageError, match=r"has no tokenizer \(tokenizer\.json, .*copy the files"):
        check_tokenizer(tmp_path, names_in(tmp_path))
    for text in ("{", "[]"):
        (tmp_path / "tokenizer.json").write_text(text)
        with pytest.raises(UsageError, match=r"tokenizer\.json cannot be read"):
            check_tokenizer(tmp_path, names_in(tmp_path))
