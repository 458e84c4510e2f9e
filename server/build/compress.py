"""Checkpoints quantised by llm-compressor, in the compressed-tensors format that vLLM reads with its fast kernels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from configs.variant import W4A16, W8A8, W8A16, Awq, Compressed, Fp8, Gptq
from server.build.calibration_text import CALIBRATION_SAMPLES, CALIBRATION_TOKENS, calibration_batches
from server.build.families.loading import load_model, load_tokenizer
from server.build.families.reach import check_reached
from server.build.families.smoothing import Algorithm, Fed, mappings_of


def quantize_compressed(source: Path, out: Path, quantization: Compressed) -> None:
    """Quantise every linear layer but the head by the rule of ``quantization``, calibrated where the rule needs it.

    Raises:
        BuildError: transformers cannot load the model, the rule reaches too little of it, or nothing can be smoothed.
    """
    from datasets import Dataset
    from llmcompressor import oneshot

    model = load_model(source, dtype=torch.bfloat16)
    check_reached(model, quantization)
    tokenizer = load_tokenizer(source)
    calibration: dict[str, Any] = {}
    # These round to the nearest, and look at weights alone.
    if not isinstance(quantization, W4A16 | W8A16 | Fp8):
        calibration = {
            "dataset": Dataset.from_dict(calibration_batches(tokenizer)),
            "max_seq_length": CALIBRATION_TOKENS,
            "num_calibration_samples": CALIBRATION_SAMPLES,
            "shuffle_calibration_samples": False,
        }
    with _without_pinned_memory():
        oneshot(model=model, recipe=modifiers(quantization, model), **calibration)
    model.save_pretrained(out, save_compressed=True)
    tokenizer.save_pretrained(out)


def modifiers(quantization: Compressed, model: PreTrainedModel) -> list[Any]:
    """Return llm-compressor's recipe of a format for a model.

    Raises:
        BuildError: the format is smoothed, and nothing of this model can be.
    """
    from llmcompressor.modifiers.gptq import GPTQModifier
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from llmcompressor.modifiers.transform.awq import AWQMapping, AWQModifier
    from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier

    groups = {"config_groups": {"group_0": scheme(quantization)}, "ignore": left_alone(model)}
    match quantization:
        case Awq():
            fed = _said(model, "awq")
            mappings = None if fed is None else [AWQMapping(pair.norm, list(pair.matrices)) for pair in fed]
            return [AWQModifier(mappings=mappings), QuantizationModifier(**groups)]
        case Gptq():
            return [GPTQModifier(**groups)]
        case W8A8():
            fed = _said(model, "smoothquant")
            pairs = None if fed is None else [(list(pair.matrices), pair.norm) for pair in fed]
            smoothing = SmoothQuantModifier(smoothing_strength=quantization.smoothing, mappings=pairs)
            return [smoothing, QuantizationModifier(**groups)]
        case _:
            return [QuantizationModifier(**groups)]


def left_alone(model: PreTrainedModel) -> list[str]:
    """Return the linear layers that no format quantises: the head."""
    head = model.get_output_embeddings()
    return [name for name, module in model.named_modules() if module is head] or ["lm_head"]


def _said(model: PreTrainedModel, algorithm: Algorithm) -> list[Fed] | None:
    """Return the mappings, and print them to the builder's log; None: llm-compressor's own."""
    fed = mappings_of(model, algorithm)
    for pair in fed or ():
        print(f"{algorithm}: {pair.norm} feeds {', '.join(pair.matrices)}", flush=True)  # noqa: T201 -- the builder's log
    return fed


def scheme(quantization: Compressed) -> Any:
    """Return the numbers of a format: compressed-tensors' QuantizationScheme over all linear layers."""
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    activations = None
    match quantization:
        case Awq():
            weights = QuantizationArgs(
                num_bits=4, type="int", symmetric=False, strategy="group", group_size=quantization.group_size
            )
        case Gptq() | W4A16():
            weights = QuantizationArgs(
                num_bits=4, type="int", symmetric=True, strategy="group", group_size=quantization.group_size
            )
        case _:
            number = "float" if isinstance(quantization, Fp8) else "int"
            weights = QuantizationArgs(num_bits=8, type=number, symmetric=True, strategy="channel")
            if not isinstance(quantization, W8A16):
                activations = QuantizationArgs(
                    num_bits=8, type=number, symmetric=True, strategy="token", dynamic=True
                )
    return QuantizationScheme(targets=["Linear"], weights=weights, input_activations=activations)


@contextmanager
def _without_pinned_memory() -> Iterator[None]:
    """llm-compressor 0.14 pins its activation cache without asking whether there is an accelerator, and dies.

    Pinning only speeds copies to a GPU: without one it is left out, in this process and this block alone.
    ``tests/server/build/test_compress.py`` fails when the work-around is no longer needed.
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
