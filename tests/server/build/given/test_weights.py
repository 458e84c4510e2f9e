"""Weights that are not whole, or are not those of their configuration, are found without loading them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import HfApi, ModelInfo
from safetensors.torch import save_file

from server.build import foresight
from server.build.families.loading import load_model
from server.build.foresight import check_files_of, known_model
from server.build.given.weights import INDEX, check_fit, check_weights
from starwatt_errors import BuildError, UsageError
from tests.server.build.families.conftest import tiny

PARTS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
WEIGHTS = {"model.embed_tokens.weight": torch.zeros(10, 4)} | {
    f"model.layers.{n}.mlp.up_proj.weight": torch.zeros(3, 4) for n in range(2)
}
SHAPES = {name: tuple(tensor.shape) for name, tensor in WEIGHTS.items()}
FITTING = {"num_hidden_layers": 2, "hidden_size": 4}


def write(folder: Path, *, of: int = 1) -> list[Path]:
    """Weights in one file, or in two with their index."""
    if of == 1:
        save_file(WEIGHTS, folder / "model.safetensors")
        return [folder / "model.safetensors"]
    halves = (dict(list(WEIGHTS.items())[:1]), dict(list(WEIGHTS.items())[1:]))
    for name, half in zip(PARTS, halves, strict=True):
        save_file(half, folder / name)
    where = {tensor: name for name, half in zip(PARTS, halves, strict=True) for tensor in half}
    (folder / INDEX).write_text(json.dumps({"weight_map": where}))
    return [folder / name for name in PARTS]


@pytest.mark.parametrize("of", [1, 2])
def test_whole_weights_are_read_with_their_shapes(of: int, tmp_path: Path) -> None:
    write(tmp_path, of=of)
    assert check_weights(tmp_path) == SHAPES


def test_a_part_that_was_not_fetched_is_named(tmp_path: Path) -> None:
    write(tmp_path, of=2)[1].unlink()
    with pytest.raises(UsageError, match=rf"lacks {PARTS[1]}, which its {INDEX} names"):
        check_weights(tmp_path)


def test_a_file_that_the_index_does_not_name_is_not_looked_into_for_no_engine_loads_it(
    tmp_path: Path,
) -> None:
    write(tmp_path, of=2)
    (tmp_path / "model-fp32.safetensors").write_bytes(b"half fetched")
    assert check_weights(tmp_path) == SHAPES


def test_mistrals_own_weights_are_looked_into_where_there_are_any_for_vllm_loads_these(
    tmp_path: Path,
) -> None:
    for part in write(tmp_path, of=2):
        part.unlink()
    save_file({"layers.0.attention.wk.weight": torch.zeros(3, 4)}, tmp_path / "consolidated.safetensors")
    assert check_weights(tmp_path) == {"layers.0.attention.wk.weight": (3, 4)}
    (tmp_path / "consolidated.safetensors").write_bytes(b"half fetched")
    with pytest.raises(UsageError, match=r"consolidated\.safetensors is no safetensors file"):
        check_weights(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"), [("{", "cannot be read"), ("[]", "no weight_map"), ("{}", "no weight_map")]
)
def test_an_index_that_is_none_is_named(text: str, words: str, tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / INDEX).write_text(text)
    with pytest.raises(UsageError, match=words):
        check_weights(tmp_path)


def damaged(kind: str, whole: bytes) -> bytes:
    return {
        "empty": b"",
        "shorter than a length": b"abc",
        "cut off within its head": whole[:20],
        "cut off within its weights": whole[:-5],
        "with something behind it": whole + b"x",
        "text": b"<!DOCTYPE html><html>Access denied</html>",
        "a head that is no object": (2).to_bytes(8, "little") + b"[]",
        "a head with odd entries": (10).to_bytes(8, "little") + b'{"a": "b"}',
        "a length of all ones": b"\xff" * 16,
    }[kind]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("empty", "is no safetensors file"),
        ("shorter than a length", "is no safetensors file"),
        ("cut off within its head", "is no safetensors file"),
        ("cut off within its weights", r"is not whole: it has \d+ bytes, and its own head says \d+"),
        ("with something behind it", "is not whole"),
        ("text", "is no safetensors file"),
        ("a head that is no object", "is no safetensors file"),
        ("a head with odd entries", "is no safetensors file"),
        ("a length of all ones", "is no safetensors file"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(kind: str, words: str, tmp_path: Path) -> None:
    [file] = write(tmp_path)
    file.write_bytes(damaged(kind, file.read_bytes()))
    with pytest.raises(UsageError, match=rf"model\.safetensors {words}"):
        check_weights(tmp_path)


def test_a_pointer_of_git_lfs_is_told_from_weights(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    )
    with pytest.raises(UsageError, match=r"is a pointer of Git LFS.*`git lfs pull`"):
        check_weights(tmp_path)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"num_hidden_layers": 3}, "has weights of 2 layers, and its config.json says 3"),
        ({"hidden_size": 5}, "has weights 4 wide .*, and its config.json says 5"),
    ],
)
def test_a_configuration_of_other_weights_is_refused(said: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_fit("./m", SHAPES, FITTING | said)


@pytest.mark.parametrize(
    "said", [{}, {"num_hidden_layers": 1}, {"num_hidden_layers": None, "hidden_size": None}]
)
def test_weights_beyond_what_a_configuration_says_are_left_to_it(said: dict[str, Any]) -> None:
    """Some have more layers than they count: those that guess several tokens ahead."""
    check_fit("./m", SHAPES, FITTING | said)
    check_fit("./m", {"of.its.own.making": (3, 3)}, FITTING)


def test_a_folder_that_lacks_a_part_is_known_by_what_is_amiss(tmp_path: Path) -> None:
    foresight.known_model.cache_clear()
    config = {"model_type": "llama", "vocab_size": 10, **FITTING}
    (tmp_path / "config.json").write_text(json.dumps(config))
    write(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    whole = known_model(str(tmp_path))
    assert whole.amiss is None
    check_files_of(whole)
    foresight.known_model.cache_clear()
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 9}))
    with pytest.raises(UsageError, match="has weights of 2 layers"):
        check_files_of(known_model(str(tmp_path)))


@pytest.mark.parametrize("in_the_cache", [False, True])
def test_a_model_on_the_hub_without_a_tokenizer_is_refused_before_it_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, in_the_cache: bool
) -> None:
    config = {"model_type": "llama", "vocab_size": 10, **FITTING}
    (tmp_path / "config.json").write_text(json.dumps(config))
    write(tmp_path)
    monkeypatch.setattr(foresight, "_cached", lambda _: tmp_path if in_the_cache else None)
    names = [
        "config.json",
        "model.safetensors",
        "own.tiktoken",
    ]  # the last is not fetched: only code reads it

    def hub(*_: Any, **__: Any) -> ModelInfo:
        files = [{"rfilename": name, "size": 9} for name in names]
        return ModelInfo(id="o/m", config={"model_type": "llama"}, siblings=files)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(HfApi, "model_info", hub)
    foresight.known_model.cache_clear()
    with pytest.raises(UsageError, match=r"o/m has no tokenizer .*\(hf download o/m --local-dir DIR\)"):
        known_model("o/m")
    names.append("tokenizer.json")
    assert known_model("o/m").fetch_bytes == 9 * 3, "a download that broke off goes on"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_nothing_is_built_of_weights_that_transformers_made_up(tmp_path: Path) -> None:
    model = tiny("llama")
    model.save_pretrained(tmp_path)
    load_model(tmp_path)
    kept = {name: one for name, one in model.state_dict().items() if "layers.1." not in name}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BuildError, match=r"lacks weights of its model: model\.layers\.1\..* and \d+ more"):
        load_model(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(BuildError, match="cannot be loaded by transformers"):
        load_model(tmp_path)
