"""What a step costs, by three laws that no attribution rule assumes as they are: linear, roofline, context-dependent.

Figures are of a 3-billion-parameter model on a board with 1.2 TB/s and 190 TFLOP/s that can be had, rounded. The
joules include what is drawn per second of the step; only power with nothing to do is ``idle_w``.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.golden.engine import Amounts, Model, Work

TOKENS_A_STEP = 2048


@dataclass(frozen=True)
class Linear(Model):
    """Every token costs the same wherever it stands; prompts are cut where a step is full."""

    step_s: float = 0.006
    per_request_s: float = 0.00004
    per_prompt_token_s: float = 0.00003
    idle_w: float = 70.0
    step_j: float = 0.9
    token_j: float = 0.02
    prompt_j: float = 0.006

    @property
    def most_tokens(self) -> int | None:
        """As vLLM's default when it serves."""
        return TOKENS_A_STEP


@dataclass(frozen=True)
class Roofline(Linear):
    """Time is the longer of reading memory and computing; energy is power x time, and bytes, and operations."""

    weight_bytes: float = 6e9
    context_bytes: float = 30_000
    token_flop: float = 6e9
    bytes_s: float = 1.2e12
    flop_s: float = 190e12
    static_w: float = 150.0
    byte_j: float = 50e-12
    flop_j: float = 0.7e-12

    def seconds(self, amounts: Amounts) -> float:
        """The roof."""
        return max(self._bytes(amounts) / self.bytes_s, self._flop(amounts) / self.flop_s)

    def joules(self, amounts: Amounts) -> float:
        """Static power for as long as it takes, and what moving and computing draw."""
        moved, computed = self.byte_j * self._bytes(amounts), self.flop_j * self._flop(amounts)
        return self.static_w * self.seconds(amounts) + moved + computed

    def _bytes(self, amounts: Amounts) -> float:
        return self.weight_bytes + self.context_bytes * amounts[2]

    def _flop(self, amounts: Amounts) -> float:
        return self.token_flop * (amounts[0] + amounts[1])


@dataclass(frozen=True)
class Contextual(Linear):
    """Attention counts: a decoded token costs by what it looks back at, a prompt by its square."""

    context_j: float = 30e-6
    context_s: float = 100e-9

    def amounts(self, work: Work) -> Amounts:
        """Decoding looks at all tokens so far; each token of a prompt at those before it, far cheaper in a batch."""
        in_prompt = work.prefill * (work.context + work.prefill / 2) / 16
        return 1.0, float(work.prefill), in_prompt if work.prefill else float(work.context)

    def seconds(self, amounts: Amounts) -> float:
        """A little longer for every token looked at."""
        return super().seconds(amounts) + self.context_s * amounts[2]

    def joules(self, amounts: Amounts) -> float:
        """And a little more."""
        return super().joules(amounts) + self.context_j * amounts[2]


STEP_MODELS: dict[str, Model] = {"linear": Linear(), "roofline": Roofline(), "contextual": Contextual()}
