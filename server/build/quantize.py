"""Checkpoints quantised by bitsandbytes: made by transformers, and saved."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoTokenizer, BitsAndBytesConfig, Starcoder2ForCausalLM

from configs.variant import BitsAndBytes


def quantize_bitsandbytes(source: Path, out: Path, quantization: BitsAndBytes) -> None:
    """LLM.int8(), NF4 or FP4, quantised by transformers and saved."""
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
    model = Starcoder2ForCausalLM.from_pretrained(
        source, dtype=dtype, quantization_config=config, device_map=device
    )
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(source).save_pretrained(out)
