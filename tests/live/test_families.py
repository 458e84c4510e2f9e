"""Every format that a CPU can serve is what it says it is in every family, and answers as the unserved model does.

The bounds are those of ``test_formats.py``. What was seen is in docs/measurements/families.md.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.live.agreement import Agreement, agreements
from tests.live.test_formats import KERNELS, TOLERANCE, least_equal, tolerance

pytestmark = [
    pytest.mark.live,
    pytest.mark.long,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore"),  # of transformers and bitsandbytes, which are not what is tested
]

BITS = {
    "bf16": 16, "fp16": 16, "fp32": 16, "int8-bnb": 8, "nf4-bnb": 4, "fp4-bnb": 4, "int4-awq": 4, "int4-gptq": 4,
    "int8-w8a8": 8, "fp8": 8, "pruned-last-1": 16, "pruned-influence-1": 16, "int4-awq-pruned-middle-2": 4,
}  # fmt: skip
"""Stored bits a weight of every format that is served here, and of pruned variants."""
CLASSES = {
    "qwen2-memorised": "Qwen2ForCausalLM",
    "qwen3-memorised": "Qwen3ForCausalLM",
    "llama-memorised": "LlamaForCausalLM",
    "mistral-memorised": "MistralForCausalLM",
    "gpt-bigcode-memorised": "GPTBigCodeForCausalLM (Transformers modelling backend)",
}
"""What serves each: vLLM's own class, or the model of Transformers within vLLM."""


@pytest.mark.parametrize("model", CLASSES)
def test_every_format_of_a_family_is_served_as_the_unserved_quantised_model_answers(
    model: str, tmp_path: Path
) -> None:
    found = agreements(model, tuple(BITS), tmp_path)
    said = [
        line for agreement in found.values() for line in agreement.served.kernels
    ]  # each once in a process
    for variant, agreement in found.items():
        print(row(model, variant, agreement))  # noqa: T201 -- for docs/measurements/families.md
    for variant, bits in BITS.items():
        agreement = found[variant]
        assert agreement.served.model_implementation == CLASSES[model]
        assert agreement.served.family == model.removesuffix("-memorised").replace("-", "_")
        assert agreement.served.notes == []
        assert agreement.bits == pytest.approx(bits, rel=1e-3), variant
        assert agreement.worst_logprob <= tolerance(variant), variant
        assert agreement.parting <= TOLERANCE, variant
        assert agreement.equal >= least_equal(variant), variant
        kernel = KERNELS.get(variant)
        assert kernel is None or any(kernel in line for line in said), variant
        if bits == 4 and "pruned" not in variant:
            assert agreement.from_bf16 > agreement.worst_logprob, f"{variant} answers as itself, not as bf16"


def row(model: str, variant: str, agreement: Agreement) -> str:
    """A row of the table in docs/measurements/families.md."""
    figures = f"{agreement.bits:.0f} | {agreement.worst_logprob:.3f} | {agreement.from_bf16:.3f}"
    return (
        f"| {model} | `{variant}` | {figures} | {agreement.equal * 24:.0f} of 24 | {agreement.parting:.3f} |"
    )
