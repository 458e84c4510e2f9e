"""Checkpoints quantised by bitsandbytes: made by transformers, and saved."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import BitsAndBytesConfig

from configs.variant import BitsAndBytes
from server.build.families.loading import load_model, load_tokenizer, shapes_alone
from server.build.families.reach import check_reached


def quantize_bitsandbytes(source: Path, out: Path, quantization: BitsAndBytes) -> None:
    """Quantise by LLM.int8(), NF4 or FP4, as transformers does, and save what comes of it.

    Raises:
        BuildError: transformers cannot load the model, or bitsandbytes reaches too little of it.
    """
    check_reached(shapes_alone(source), quantization)
    dtype = getattr(torch, quantization.dtype)
    if quantization.bits == 8:
        config = BitsAndBytesConfig(load_in_8bit=True)
    else:
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=quantization.format_4bit or "nf4",
            bnb_4bit_compute_dtype=dtype,
        )
    device = {"": 0} if torch.cuda.is_available() else {"": "cpu"}
    model = load_model(source, dtype=dtype, quantization_config=config, device_map=device)
    model.save_pretrained(out)
    load_tokenizer(source).save_pretrained(out)
