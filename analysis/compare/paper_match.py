"""Which of the paper's configurations a variant of ours is beside, and in what the two differ, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from analysis.cells.context import Context
from analysis.compare.paper import Configuration
from configs.loader import load_variant
from configs.schema import FixedOutput
from configs.variant import BitsAndBytes, NoQuantization, Variant
from starwatt_errors import UsageError


def answers(context: Context, paper: Mapping[Configuration, object]) -> tuple[int, tuple[str, ...]]:
    """Find which of the paper's answer lengths is the nearest to the study's, and what is to be said of it."""
    known = sorted({configuration.max_new_tokens for configuration in paper})
    if context.study is None:
        return known[-1], ("how long answers could be here is not known",)
    prompts = context.study.prompts
    ours = prompts.output.fixed if isinstance(prompts.output, FixedOutput) else prompts.max_tokens
    nearest = min(known, key=lambda length: abs(np.log(length / ours)))
    if nearest == ours:
        return nearest, ()
    return nearest, (f"answers of at most {ours} tokens here, {nearest} there",)


def configuration_of(
    model: str, variant: str, tokens: int, paper: Iterable[Configuration]
) -> tuple[Configuration, tuple[str, ...]] | str:
    """Return the paper's configuration nearest to a variant with what differs in words; or why there is none."""
    name = model.rpartition("--")[2]
    if name not in {configuration.model for configuration in paper}:
        return "the paper did not measure this model"
    try:
        chosen = load_variant(variant)
    except UsageError:
        return "what it is made of is not known here"
    quantisation, differs = _format(chosen)
    pruned = chosen.prune.last if chosen.prune is not None else 0
    nearest = None
    if quantisation is not None and pruned is not None:
        wanted = Configuration(name, tokens, quantisation, pruned)
        nearest = wanted if wanted in set(paper) else None
    if nearest is None:
        return "the paper did not measure this format or pruning with such answers"
    if chosen.engine == "vllm":
        differs = (*differs, "served by vLLM here, by Hugging Face's generate there")
    if chosen.engine_args:
        differs = (*differs, f"the engine's own {', '.join(chosen.engine_args)} set here")
    return nearest, differs


def _format(variant: Variant) -> tuple[str | None, tuple[str, ...]]:
    """Return the paper's name for a format, and how ours is not it."""
    ours = variant.quantization
    if isinstance(ours, NoQuantization):
        return "none", () if ours.dtype == "float32" else (f"weights in {ours.dtype} here, in float32 there",)
    if not isinstance(ours, BitsAndBytes):
        return None, ()
    differs = (
        () if ours.dtype == "float32" else (f"what is not quantised is {ours.dtype} here, float32 there",)
    )
    if ours.bits == 4 and ours.format_4bit != "fp4":
        differs = (*differs, "NF4 here, FP4 there")
    return ("bnb-int8" if ours.bits == 8 else "bnb-fp4"), differs
