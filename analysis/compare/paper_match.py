"""Which of the paper's configurations a variant of ours is beside, and in what the two differ, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from analysis.cells.cell import Context
from analysis.compare.paper import Configuration
from configs.loader import load_variant
from configs.schema import FixedOutput
from configs.variant import BitsAndBytes, NoQuantization, Variant
from starwatt_errors import UsageError


def answers(context: Context, paper: Mapping[Configuration, object]) -> tuple[int, tuple[str, ...]]:
    """Find which of the paper's answer lengths is the nearest to the study's, and what is to be said of it."""
    known = sorted({one.max_new_tokens for one in paper})
    if context.study is None:
        return known[-1], ("how long answers could be here is not known",)
    prompts = context.study.prompts
    ours = prompts.output.fixed if isinstance(prompts.output, FixedOutput) else prompts.max_tokens
    nearest = min(known, key=lambda one: abs(np.log(one / ours)))
    if nearest == ours:
        return nearest, ()
    return nearest, (f"answers of at most {ours} tokens here, {nearest} there",)


def configuration_of(
    model: str, variant: str, tokens: int, paper: Iterable[Configuration]
) -> tuple[Configuration, tuple[str, ...]] | str:
    """The paper's configuration nearest to a variant with what differs in words; or why there is none."""
    name = model.rpartition("--")[2]
    if name not in {one.model for one in paper}:
        return "the paper did not measure this model"
    try:
        chosen = load_variant(variant)
    except UsageError:
        return "what it is made of is not known here"
    quantisation, differs = _format(chosen)
    pruned = chosen.prune.last if chosen.prune is not None else 0
    found = None
    if quantisation is not None and pruned is not None:
        wanted = Configuration(name, tokens, quantisation, pruned)
        found = wanted if wanted in set(paper) else None
    if found is None:
        return "the paper did not measure this format or pruning with such answers"
    if chosen.engine == "vllm":
        differs = (*differs, "served by vLLM here, by Hugging Face's generate there")
    return found, differs


def _format(variant: Variant) -> tuple[str | None, tuple[str, ...]]:
    """The paper's name for a format, and how ours is not it."""
    own = variant.quantization
    if isinstance(own, NoQuantization):
        return "none", () if own.dtype == "float32" else (f"weights in {own.dtype} here, in float32 there",)
    if not isinstance(own, BitsAndBytes):
        return None, ()
    differs = () if own.dtype == "float32" else (f"what is not quantised is {own.dtype} here, float32 there",)
    if own.bits == 4 and own.format_4bit != "fp4":
        differs = (*differs, "NF4 here, FP4 there")
    return ("bnb-int8" if own.bits == 8 else "bnb-fp4"), differs


def original_of(one: Configuration) -> Configuration:
    """The same model as it was, with answers as long."""
    return Configuration(one.model, one.max_new_tokens, "none", 0)
