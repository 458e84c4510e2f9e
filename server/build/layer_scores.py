"""Score how much each decoder layer changes what passes through it, over calibration text, for targeted pruning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import torch
from transformers import AutoTokenizer, Starcoder2ForCausalLM

from server.build.calibration_text import calibration_batches


def block_influence(states: torch.Tensor) -> list[float]:
    """1 - mean over tokens of the cosine of a layer's input and output (ShortGPT, arXiv 2403.03853, equation 1).

    ``states``: (layers + 1, tokens, hidden), the input of each layer and the output of the last.
    """
    return [
        float(1 - torch.nn.functional.cosine_similarity(before, after, dim=-1).mean())
        for before, after in pairwise(states)
    ]


def angular_distance(states: torch.Tensor, consecutive: int) -> list[float]:
    """Say how far ``consecutive`` layers from each start on turn the state, 0 to 1 (arXiv 2403.17887, equation 9).

    arccos of the cosine of the first one's input and the last one's output, over pi, mean over tokens. One figure for
    each first layer 0 .. layers - consecutive.
    """
    return [
        float(
            torch.arccos(
                torch.nn.functional.cosine_similarity(states[start], states[start + consecutive], dim=-1)
                .clamp(-1, 1)
                .double()
            ).mean()
            / torch.pi
        )
        for start in range(states.shape[0] - consecutive)
    ]


def sample_states(
    model: Starcoder2ForCausalLM, source: Path, *, last_token_only: bool
) -> Iterator[torch.Tensor]:
    """Yield each sample's states (layers + 1, tokens, hidden) in float32: what each layer takes, and the last gives.

    With ``last_token_only`` one token a sample, which has seen all of it (arXiv 2403.17887 does so).
    """
    batches = calibration_batches(AutoTokenizer.from_pretrained(source))
    layers = model.model.layers
    seen: list[torch.Tensor] = []

    def keep(state: torch.Tensor) -> None:
        kept = state[0, -1:] if last_token_only else state[0]
        seen.append(kept.to("cpu", torch.float32))

    hooks = [layer.register_forward_pre_hook(lambda _, args: keep(args[0])) for layer in layers]
    hooks.append(
        layers[-1].register_forward_hook(lambda _, __, out: keep(out[0] if isinstance(out, tuple) else out))
    )
    try:
        for ids in batches["input_ids"]:
            with torch.no_grad():
                model.model(torch.tensor([ids], device=model.device), use_cache=False)
            yield torch.stack(seen)
            seen.clear()
    finally:
        for hook in hooks:
            hook.remove()


def mean_scores(scores: Iterable[list[float]]) -> list[float]:
    """Layer by layer over samples of the same length."""
    return torch.tensor(list(scores), dtype=torch.float64).mean(0).tolist()  # type: ignore[no-any-return]
