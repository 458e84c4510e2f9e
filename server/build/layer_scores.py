"""Score how much each decoder layer changes what passes through it, over calibration text, for targeted pruning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from server.build.calibration_text import calibration_batches
from server.build.families.layers import decoder_layers
from server.build.families.loading import load_tokenizer


def block_influence(states: torch.Tensor) -> list[float]:
    """Return 1 - mean over tokens of the cosine of a layer's input and output (ShortGPT, arXiv 2403.03853, equation 1).

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


def sample_states(model: PreTrainedModel, source: Path, *, last_token_only: bool) -> Iterator[torch.Tensor]:
    """Yield each sample's states (layers + 1, tokens, hidden) in float32: what each layer takes, and the last gives.

    With ``last_token_only`` one token a sample, which has seen all of it (arXiv 2403.17887 does so).
    """
    batches = calibration_batches(load_tokenizer(source))
    _, layers = decoder_layers(model)
    seen: list[torch.Tensor] = []

    def keep(state: torch.Tensor) -> None:
        kept = state[0, -1:] if last_token_only else state[0]
        seen.append(kept.to("cpu", torch.float32))

    def take(
        _layer: torch.nn.Module, inputs: tuple[torch.Tensor, ...], named: dict[str, torch.Tensor]
    ) -> None:
        keep(inputs[0] if inputs else named["hidden_states"])

    def give(_layer: torch.nn.Module, _inputs: object, output: Any) -> None:
        keep(output[0] if isinstance(output, tuple) else output)

    with ExitStack() as hooks:
        for layer in layers:
            hooks.enter_context(layer.register_forward_pre_hook(take, with_kwargs=True))
        hooks.enter_context(layers[-1].register_forward_hook(give))
        for ids in batches["input_ids"]:
            with torch.no_grad():
                model.base_model(torch.tensor([ids], device=model.device), use_cache=False)
            yield torch.stack(seen)
            seen.clear()


def mean_scores(scores: Iterable[list[float]]) -> list[float]:
    """Average scores layer by layer over samples of the same length."""
    return torch.tensor(list(scores), dtype=torch.float64).mean(0).tolist()  # type: ignore[no-any-return]
