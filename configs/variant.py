"""The pydantic models of variants and settings: one way each to compress and to serve a model.

A format's class names the rule that makes its numbers; ``server/engines/hardware.py`` says whether this machine can
serve it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from configs.engine.arguments import EngineArgs
from configs.files.strict import Line, Many, Name, StrictModel, VariantName, inconsistent

Dtype = Literal["bfloat16", "float16", "float32"]
_GroupSize = Literal[16, 32, 64, 128]
_Layers = Annotated[int, Field(ge=1, le=1000)]


class NoQuantization(StrictModel):
    """The weights as they are, in one of torch's floating formats."""

    kind: Literal["none"] = "none"
    dtype: Dtype = "bfloat16"


class BitsAndBytes(StrictModel):
    """bitsandbytes: LLM.int8(), or 4-bit NormalFloat or FP4, on a checkpoint that transformers quantised and saved."""

    kind: Literal["bitsandbytes"]
    bits: Literal[4, 8]
    format_4bit: Literal["nf4", "fp4"] | None = Field(
        default=None, description="With bits: 4: NormalFloat (nf4, the default) or 4-bit floats (fp4)"
    )
    dtype: Dtype = Field(default="bfloat16", description="Of the arithmetic, and of what is not quantised")

    @model_validator(mode="after")
    def _only_for_four(self) -> BitsAndBytes:
        if self.bits == 8 and self.format_4bit is not None:
            raise inconsistent("format_4bit", "belongs to bits: 4")
        return self


class Awq(StrictModel):
    """Activation-aware 4-bit weights by llm-compressor, smoothed by the mappings of the model's family."""

    kind: Literal["awq"]
    group_size: _GroupSize = Field(default=128, description="Weights that share one scale")


class Gptq(StrictModel):
    """4-bit weights by llm-compressor's GPTQ: each column's rounding error is spread over the columns after it."""

    kind: Literal["gptq"]
    group_size: _GroupSize = Field(default=128, description="Weights that share one scale")


class W4A16(StrictModel):
    """4-bit integer weights, rounded to the nearest; activations stay in 16 bits. Served by GPTQ's kernels."""

    kind: Literal["int4-w4a16"]
    group_size: _GroupSize = Field(default=128, description="Weights that share one scale")


class W8A16(StrictModel):
    """8-bit integer weights, one scale a row, rounded to the nearest; activations stay in 16 bits."""

    kind: Literal["int8-w8a16"]


class W8A8(StrictModel):
    """8-bit integer weights (one scale a row) and activations (one scale a token), smoothed by SmoothQuant."""

    kind: Literal["int8-w8a8"]
    smoothing: float = Field(default=0.8, ge=0, le=1, description="SmoothQuant's strength (its alpha)")


class Fp8(StrictModel):
    """8-bit floating point (e4m3): weights with one scale a row, activations with one scale a token."""

    kind: Literal["fp8"]


class ReadyMade(StrictModel):
    """A checkpoint that somebody else quantised, served as it is."""

    kind: Literal["ready-made"]
    checkpoints: dict[Line, Line] = Field(
        default={},
        description="By model: the hub id or folder of its checkpoint; a model that is not here is one itself",
    )


Compressed = Awq | Gptq | W4A16 | W8A16 | W8A8 | Fp8
"""Written by llm-compressor in the compressed-tensors format."""
Quantization = Annotated[
    NoQuantization | BitsAndBytes | Awq | Gptq | W4A16 | W8A16 | W8A8 | Fp8 | ReadyMade,
    Field(discriminator="kind"),
]


class Prune(StrictModel):
    """Whole decoder layers removed before quantisation, chosen in one of these ways."""

    last: _Layers | None = Field(default=None, description="So many at the end")
    first: _Layers | None = Field(default=None, description="So many at the beginning")
    middle: _Layers | None = Field(
        default=None, description="So many around the middle; the extra one before it"
    )
    every: int | None = Field(default=None, ge=2, le=1000, description="Every k-th, counted from one")
    layers: Many[Annotated[int, Field(ge=0, le=10_000)]] | None = Field(
        default=None, min_length=1, description="These, counted from 0"
    )
    block_influence: _Layers | None = Field(
        default=None, description="So many that change their input least (ShortGPT, arXiv 2403.03853)"
    )
    angular_distance: _Layers | None = Field(
        default=None,
        description="So many consecutive ones over which the state turns least (arXiv 2403.17887)",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Prune:
        if len(self.model_fields_set & {n for n, v in self if v is not None}) != 1:
            raise ValueError(f"takes one of {', '.join(type(self).model_fields)}")
        if self.layers is not None and len(set(self.layers)) != len(self.layers):
            raise inconsistent("layers", "names one twice")
        return self


class Variant(StrictModel):
    """One way to compress and serve a model: ``configs/variants/<name>.yaml``."""

    name: VariantName
    description: str
    quantization: Quantization = NoQuantization()
    prune: Prune | None = None
    engine: Literal["vllm", "transformers"] = Field(
        default="vllm", description="transformers: Hugging Face's generate, one request at a time"
    )
    enforce_eager: bool = Field(
        default=False, description="No torch.compile and no CUDA graphs for this variant"
    )
    trust_remote_code: bool = Field(
        default=False, description="Run code that lies beside the weights; never unless said here"
    )
    engine_args: EngineArgs = Field(
        default={},
        description="vLLM's own flags without the dashes; its parser checks them before anything starts",
    )

    @model_validator(mode="after")
    def _served_as_made(self) -> Variant:
        if self.prune and isinstance(self.quantization, ReadyMade):
            raise inconsistent("prune", "a checkpoint that is quantised already cannot be pruned")
        if self.engine == "transformers":
            if not isinstance(self.quantization, NoQuantization | BitsAndBytes):
                raise inconsistent("engine", "transformers takes quantization none or bitsandbytes")
            if self.enforce_eager:
                raise inconsistent("enforce_eager", "belongs to engine: vllm; transformers compiles nothing")
            if self.engine_args:
                raise inconsistent("engine_args", "belongs to engine: vllm, whose flags these are")
        return self

    @property
    def built_as(self) -> str:
        """Return its name without settings of the engine, which are no part of a checkpoint."""
        return self.name.partition("+")[0]

    @property
    def dtype(self) -> Dtype | Literal["auto"]:
        """Name the type that the engine computes in; ``auto`` is what the checkpoint says."""
        if isinstance(self.quantization, NoQuantization | BitsAndBytes):
            return self.quantization.dtype
        return "auto" if isinstance(self.quantization, ReadyMade) else "bfloat16"


class Setting(StrictModel):
    """Settings of vLLM that any variant can be served with: ``configs/settings/<name>.yaml``, ``VARIANT+<name>``."""

    name: Name
    description: str
    engine_args: EngineArgs = Field(min_length=1)
