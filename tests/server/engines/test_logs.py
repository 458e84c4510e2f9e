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


def test_the_family_is_read_beside_the_weights_and_one_that_nobody_tried_is_noted(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("Resolved architecture: Olmo2ForCausalLM\nUsing Transformers modeling backend.\n")
    notes = {"olmo2": ["untested_family"], "qwen2": []}
    for family, expected in notes.items():
        (tmp_path / "config.json").write_text(f'{{"model_type": "{family}"}}')
        checkpoint = Checkpoint(tmp_path, "digest", memorised=False)
        served = served_from_log(log, version="vllm 0.32.0", command=[], checkpoint=checkpoint)
        assert (served.family, served.notes) == (family, expected)
        assert served.model_implementation == "Olmo2ForCausalLM (Transformers modelling backend)"


def test_code_beside_the_weights_that_was_left_alone_is_noted(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    (tmp_path / "config.json").write_text('{"model_type": "llama", "auto_map": {"AutoConfig": "x.Y"}}')
    for command, notes in ((["serve"], ["code_not_run"]), (["serve", "--trust-remote-code"], [])):
        served = served_from_log(
            tmp_path / "log", version="vllm 0.32.0", command=command,
            checkpoint=Checkpoint(tmp_path, "digest", memorised=False),
        )  # fmt: skip
        assert served.notes == notes


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
