"""What vLLM said on a real board (docs/measurements/h200.md), shortened: what serves is read from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.build.store import Checkpoint
from server.engines.engine_log import served_from_log

LOGS = Path(__file__).parent / "logs"
KERNELS = {
    "fp8": "Selected CutlassFP8ScaledMMLinearKernel for CompressedTensorsW8A8Fp8",
    "int4-w4a16": "Using MacheteLinearKernel for CompressedTensorsWNA16",
}


@pytest.mark.parametrize("variant", KERNELS)
def test_an_h200_s_engine_is_known_by_its_log(variant: str) -> None:
    served = served_from_log(
        LOGS / f"vllm-0.26-h200-{variant}.log",
        version="vllm 0.26.0",
        command=[],
        checkpoint=Checkpoint(Path("x"), "digest", memorised=False, random_weights=True),
    )
    assert served.model_implementation == "Starcoder2ForCausalLM (Transformers modelling backend)"
    assert served.quantization == "compressed-tensors"
    assert served.dtype == "bfloat16"
    assert served.kv_cache_tokens is not None
    assert served.kv_cache_tokens > 400_000
    assert {KERNELS[variant], "Using FlashAttention version 3"} <= set(served.kernels)
