"""Every format that a CPU can serve is what it says it is, and answers as the unserved quantised model does.

In ``make test`` one process serves two formats, as it imports vLLM once; a server for each, asked over HTTP, is in
``make test-long``. Their figures are in docs/measurements/variants.md.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.live.agreement import MODEL, Agreement, agreement, agreements

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore"),  # of transformers and bitsandbytes, which are not what is tested
]

TOLERANCE = 0.1
"""Nats, on each of the five likeliest first tokens, and between two tokens where completions part: the engine
multiplies in another order, in 8 to 16 bits, the reference in float32."""
FP8_TOLERANCE = 0.15
"""Nats, in FP8: activations are rounded to three bits, and a last bit of bfloat16 decides between neighbours."""
EQUAL = 0.95
"""The share of completions that are equal, text for text."""
PRUNED_EQUAL = 0.5
"""A pruned model babbles: it often holds two tokens for as likely, and rounding chooses. 20 of 24 were seen."""
KERNELS = {
    "int4-awq": "CPUWNA16LinearKernel",
    "int4-gptq": "CPUWNA16LinearKernel",
    "int4-w4a16": "CPUWNA16LinearKernel",
    "int8-w8a8": "CPUInt8ScaledMMLinearKernel",
    "fp8": "FP8ScaledMMLinearKernel",
}
FORMATS = {
    "int4-awq": (4, "bfloat16", "compressed-tensors"),
    "int8-w8a8": (8, "bfloat16", "compressed-tensors"),
    "int4-gptq": (4, "bfloat16", "compressed-tensors"),
    "int4-w4a16": (4, "bfloat16", "compressed-tensors"),
    "fp8": (8, "bfloat16", "compressed-tensors"),
    "int8-bnb": (8, "bfloat16", "bitsandbytes"),
    "nf4-bnb": (4, "bfloat16", "bitsandbytes"),
    "fp4-bnb": (4, "bfloat16", "bitsandbytes"),
    "bf16": (16, "bfloat16", None),
    "fp16": (16, "float16", None),
    "fp32": (16, "float32", None),
    "pruned-last-3": (16, "bfloat16", None),
    "pruned-influence-1": (16, "bfloat16", None),
    "int4-awq-pruned-middle-2": (4, "bfloat16", "compressed-tensors"),
}
"""Stored bits a weight, what is computed in, and what vLLM calls it."""


def test_formats_are_served_as_the_unserved_quantised_models_answer(tmp_path: Path) -> None:
    for variant, found in agreements(MODEL, ("int4-awq", "int8-w8a8"), tmp_path).items():
        _answers_as_its_checkpoint(variant, found)


@pytest.mark.long
@pytest.mark.parametrize("variant", FORMATS)
def test_a_format_is_served_over_http_as_the_unserved_quantised_model_answers(
    tmp_path: Path, variant: str
) -> None:
    _answers_as_its_checkpoint(variant, agreement(variant, tmp_path / "log"))


def _answers_as_its_checkpoint(variant: str, found: Agreement) -> None:
    bits, dtype, quantization = FORMATS[variant]
    assert found.bits == pytest.approx(bits, rel=1e-3), f"{variant}: the weights on disk are of this format"
    assert (found.served.quantization, found.served.dtype) == (quantization, dtype), variant
    kernel = KERNELS.get(variant)
    assert kernel is None or any(kernel in line for line in found.served.kernels), found.served.kernels
    assert found.worst_logprob <= tolerance(variant), variant
    assert found.parting <= TOLERANCE, (
        f"{variant}: completions part where two tokens are as likely, and nowhere else"
    )
    assert found.equal >= least_equal(variant), variant
    if bits == 4 and "pruned" not in variant:
        assert found.from_bf16 > found.worst_logprob, f"{variant} answers as its own checkpoint, not as bf16"


def tolerance(variant: str) -> float:
    """How far the log-probability of a first token may be from the reference's, nats."""
    return FP8_TOLERANCE if variant == "fp8" else TOLERANCE


def least_equal(variant: str) -> float:
    """The share of completions that must be equal."""
    return PRUNED_EQUAL if "pruned" in variant else EQUAL
