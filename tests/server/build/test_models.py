"""The memorised model, and the text that quantisers are calibrated on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from server.build.calibration_text import (
    CALIBRATION_SAMPLES,
    CALIBRATION_TOKENS,
    calibration_batches,
    library_texts,
)
from server.build.memorise import build_memorised
from server.build.store import file_digest
from starwatt_errors import BuildError
from tests.server.conftest import small_architecture


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
    with pytest.raises(BuildError, match=r"no_such_module\.py is not there: take a Python with its sources"):
        library_texts(("no_such_module",))


def test_a_module_of_several_files_gives_its_first() -> None:
    """Python 3.12 made zipfile one: what is a file here is a folder elsewhere."""
    (text,) = library_texts(("json",))
    assert text == Path(json.__file__).read_text(encoding="utf-8")
