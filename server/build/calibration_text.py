"""The text that quantisers and layer scores are calibrated on: ordinary code that no benchmark holds."""

from __future__ import annotations

import random
import sysconfig
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from starwatt_errors import BuildError

CALIBRATION_SAMPLES = 64
CALIBRATION_TOKENS = 256
CALIBRATION_SEED = 20
# Modules of Python's own library: there on every machine.
CALIBRATION_MODULES = ("argparse", "bisect", "csv", "difflib", "fractions", "heapq", "statistics", "textwrap")


def calibration_batches(
    tokenizer: PreTrainedTokenizerBase, modules: tuple[str, ...] = CALIBRATION_MODULES
) -> dict[str, list[list[int]]]:
    """Return ``input_ids`` and ``attention_mask`` of excerpts of Python's library, drawn from a fixed seed.

    Raises:
        BuildError: this Python comes without its library's source.
    """
    ids: list[int] = []
    for text in library_texts(modules):
        ids += tokenizer(text, add_special_tokens=False)["input_ids"]
    order = random.Random(CALIBRATION_SEED)  # noqa: S311 -- excerpts to calibrate on, no secret
    starts = [order.randrange(len(ids) - CALIBRATION_TOKENS) for _ in range(CALIBRATION_SAMPLES)]
    samples = [ids[start : start + CALIBRATION_TOKENS] for start in starts]
    return {"input_ids": samples, "attention_mask": [[1] * CALIBRATION_TOKENS for _ in samples]}


def library_texts(modules: tuple[str, ...]) -> list[str]:
    """Return the source of modules of Python's library.

    Raises:
        BuildError: this Python comes without its library's source.
    """
    library = Path(sysconfig.get_paths()["stdlib"])
    texts = []
    for module in modules:
        # Python 3.12 made zipfile a folder.
        files = (library / f"{module}.py", library / module / "__init__.py")
        path = next((file for file in files if file.is_file()), None)
        if path is None:
            raise BuildError(
                f"calibration reads Python's own library, but {files[0]} is missing: take a Python with its sources"
            )
        texts.append(path.read_text(encoding="utf-8"))
    return texts
