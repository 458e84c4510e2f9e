"""Check what an architecture says of its dimensions: one model for each family that is made here, in its own words."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from configs.files.strict import StrictModel, inconsistent

_Size = Annotated[int, Field(ge=1, le=2**20)]
_Heads = Annotated[int, Field(ge=1, le=1024)]
_Layers = Annotated[int, Field(ge=1, le=1000)]
_Positions = Annotated[int, Field(ge=16, le=2**24)]
_Window = Annotated[int, Field(ge=1, le=2**24)]
_Share = Annotated[float, Field(ge=0, lt=1)]
_Activation = Literal[
    "gelu", "gelu_fast", "gelu_new", "gelu_pytorch_tanh", "quick_gelu", "relu", "relu2", "silu"
]


class LinearScaling(StrictModel):
    """Rotary positions that are divided by a factor."""

    rope_type: Literal["linear"]
    factor: float = Field(ge=1, le=1024)


class ArchitectureShape(StrictModel):
    """Hold what all of them say; the vocabulary and its ends are made here."""

    model_type: str
    initializer_range: float = Field(default=0.02, gt=0, le=1)
    use_cache: bool = True
    tie_word_embeddings: bool = False


class _Rotary(ArchitectureShape):
    """Hold what families with rotary positions and grouped heads have in common."""

    hidden_size: _Size
    intermediate_size: _Size
    num_hidden_layers: _Layers
    num_attention_heads: _Heads
    num_key_value_heads: _Heads
    head_dim: Annotated[int, Field(ge=2, le=1024, multiple_of=2)] | None = None
    max_position_embeddings: _Positions
    rope_theta: float = Field(default=10_000.0, ge=1, le=1e12)
    hidden_act: _Activation = "silu"
    attention_dropout: _Share = 0.0

    @model_validator(mode="after")
    def _heads_share(self) -> Self:
        heads, width = self.num_attention_heads, self.hidden_size
        if self.head_dim is None and width % (2 * heads):
            raise inconsistent(
                "num_attention_heads", f"is {heads}: each takes an even share of hidden_size ({width})"
            )
        if heads % self.num_key_value_heads:
            raise inconsistent(
                "num_key_value_heads",
                f"is {self.num_key_value_heads}: takes a divisor of num_attention_heads ({heads})",
            )
        return self


class Starcoder2Shape(_Rotary):
    """Take what ``Starcoder2Config`` does."""

    model_type: Literal["starcoder2"] = "starcoder2"
    head_dim: None = None
    sliding_window: _Window | None = None
    norm_epsilon: float = Field(default=1e-5, gt=0, lt=1)
    hidden_act: _Activation = "gelu_pytorch_tanh"
    initializer_range: float = Field(default=0.018042, gt=0, le=1)
    use_bias: bool = True
    tie_word_embeddings: bool = True
    residual_dropout: _Share = 0.0
    embedding_dropout: _Share = 0.0


class LlamaShape(_Rotary):
    """Take what ``LlamaConfig`` does: CodeLlama, DeepSeek-Coder and many others."""

    model_type: Literal["llama"]
    rms_norm_eps: float = Field(default=1e-6, gt=0, lt=1)
    rope_scaling: LinearScaling | None = None
    attention_bias: bool = False
    mlp_bias: bool = False


class MistralShape(_Rotary):
    """Take what ``MistralConfig`` does: Codestral."""

    model_type: Literal["mistral"]
    rms_norm_eps: float = Field(default=1e-6, gt=0, lt=1)
    sliding_window: _Window | None


class Qwen2Shape(_Rotary):
    """Take what ``Qwen2Config`` does: Qwen2.5-Coder."""

    model_type: Literal["qwen2"]
    head_dim: None = None
    rms_norm_eps: float = Field(default=1e-6, gt=0, lt=1)
    use_sliding_window: bool = False
    sliding_window: _Window | None = None
    max_window_layers: _Layers = 28


class Qwen3Shape(_Rotary):
    """Take what ``Qwen3Config`` does: the dense ones."""

    model_type: Literal["qwen3"]
    rms_norm_eps: float = Field(default=1e-6, gt=0, lt=1)
    attention_bias: bool = False
    use_sliding_window: bool = False
    sliding_window: _Window | None = None
    max_window_layers: _Layers = 28


class GptBigCodeShape(ArchitectureShape):
    """Take what ``GPTBigCodeConfig`` does: StarCoder, the first."""

    model_type: Literal["gpt_bigcode"]
    n_embd: _Size
    n_inner: _Size
    n_layer: _Layers
    n_head: _Heads
    n_positions: _Positions
    multi_query: bool = True
    activation_function: _Activation = "gelu_pytorch_tanh"
    layer_norm_epsilon: float = Field(default=1e-5, gt=0, lt=1)
    tie_word_embeddings: bool = True
    resid_pdrop: _Share = 0.0
    embd_pdrop: _Share = 0.0
    attn_pdrop: _Share = 0.0

    @model_validator(mode="after")
    def _heads_share(self) -> Self:
        if self.n_embd % self.n_head:
            raise inconsistent("n_head", f"is {self.n_head}: takes a divisor of n_embd ({self.n_embd})")
        return self


SHAPES: dict[str, type[ArchitectureShape]] = {
    "starcoder2": Starcoder2Shape,
    "llama": LlamaShape,
    "mistral": MistralShape,
    "qwen2": Qwen2Shape,
    "qwen3": Qwen3Shape,
    "gpt_bigcode": GptBigCodeShape,
}
"""By the name that transformers has for a family."""
DEFAULT_FAMILY = "starcoder2"


def family_of(config: dict[str, Any]) -> Any:
    """Return the family that an architecture's configuration names: StarCoder2 where it names none."""
    return config.get("model_type", DEFAULT_FAMILY)


def positions_of(config: dict[str, Any]) -> int:
    """Return the longest sequence of an architecture."""
    return int(config.get("max_position_embeddings") or config["n_positions"])
