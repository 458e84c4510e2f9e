"""Quantised checkpoints: bitsandbytes by transformers, AWQ by llm-compressor."""

from __future__ import annotations

import random
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, BitsAndBytesConfig, PreTrainedTokenizerBase, Starcoder2ForCausalLM

from configs.schema import Awq, BitsAndBytes
from starwatt_errors import BuildError

CALIBRATION_SAMPLES = 64
CALIBRATION_TOKENS = 256
CALIBRATION_SEED = 20
# Ordinary code that no benchmark holds: modules of Python's own library, there on every machine.
CALIBRATION_MODULES = ("argparse", "bisect", "csv", "difflib", "fractions", "heapq", "statistics", "textwrap")


def quantize_bitsandbytes(source: Path, out: Path, quantization: BitsAndBytes) -> None:
    """LLM.int8() or NF4 (bfloat16 arithmetic), quantised by transformers and saved."""
    if quantization.bits == 8:
        config = BitsAndBytesConfig(load_in_8bit=True)
    else:
        config = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
        )
    device = {"": 0} if torch.cuda.is_available() else {"": "cpu"}
    model = Starcoder2ForCausalLM.from_pretrained(
        source, dtype=torch.bfloat16, quantization_config=config, device_map=device
    )
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(source).save_pretrained(out)


def quantize_awq(source: Path, out: Path, quantization: Awq) -> None:
    """4-bit weights with activation-aware smoothing, reaching attention and MLP of every layer.

    llm-compressor's default mappings are written for gated MLPs; StarCoder2's is ``c_fc`` and ``c_proj``.
    """
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from datasets import Dataset
    from llmcompressor import oneshot
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from llmcompressor.modifiers.transform.awq import AWQMapping, AWQModifier

    model = Starcoder2ForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(source)
    mappings = [
        AWQMapping("re:.*input_layernorm$", ["re:.*q_proj$", "re:.*k_proj$", "re:.*v_proj$"]),
        AWQMapping("re:.*post_attention_layernorm$", ["re:.*mlp.c_fc$"]),
    ]
    weights = QuantizationArgs(
        num_bits=4, type="int", symmetric=False, strategy="group", group_size=quantization.group_size
    )
    scheme = QuantizationScheme(targets=["Linear"], weights=weights)
    with _without_pinned_memory():
        oneshot(
            model=model,
            dataset=Dataset.from_dict(calibration_batches(tokenizer)),
            recipe=[
                AWQModifier(mappings=mappings),
                QuantizationModifier(ignore=["lm_head"], config_groups={"group_0": scheme}),
            ],
            max_seq_length=CALIBRATION_TOKENS,
            num_calibration_samples=CALIBRATION_SAMPLES,
            shuffle_calibration_samples=False,
        )
    model.save_pretrained(out, save_compressed=True)
    tokenizer.save_pretrained(out)


def calibration_batches(tokenizer: PreTrainedTokenizerBase) -> dict[str, list[list[int]]]:
    """``input_ids`` and ``attention_mask`` of excerpts of Python's library, drawn from a fixed seed.

    Raises:
        BuildError: this Python comes without its library's source.
    """
    library = Path(sysconfig.get_paths()["stdlib"])
    ids: list[int] = []
    for module in CALIBRATION_MODULES:
        path = library / f"{module}.py"
        if not path.is_file():
            raise BuildError(f"AWQ is calibrated on Python's own library, but {path} is not there")
        ids += tokenizer(path.read_text(encoding="utf-8"), add_special_tokens=False)["input_ids"]
    order = random.Random(CALIBRATION_SEED)  # noqa: S311 -- excerpts to calibrate on, no secret
    starts = [order.randrange(len(ids) - CALIBRATION_TOKENS) for _ in range(CALIBRATION_SAMPLES)]
    samples = [ids[start : start + CALIBRATION_TOKENS] for start in starts]
    return {"input_ids": samples, "attention_mask": [[1] * CALIBRATION_TOKENS for _ in samples]}


@contextmanager
def _without_pinned_memory() -> Iterator[None]:
    """llm-compressor 0.14 pins its activation cache without asking whether there is an accelerator, and dies.

    Pinning only speeds copies to a GPU: without one it is left out, in this process and this block alone.
    ``tests/server/test_models.py`` fails when the work-around is no longer needed.
    """
    if torch.cuda.is_available():
        yield
        return
    from llmcompressor.pipelines.cache import IntermediatesCache

    original = IntermediatesCache.pin_memory

    def leave_unpinned(*_args: Any, **_kwargs: Any) -> None:
        return None

    IntermediatesCache.pin_memory = leave_unpinned
    try:
        yield
    finally:
        IntermediatesCache.pin_memory = original
