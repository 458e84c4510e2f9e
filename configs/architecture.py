"""The pydantic models of architectures: StarCoder2s whose weights are made here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from configs.datasets import DatasetName
from configs.files.problems import problems
from configs.files.strict import Name, Seed, StrictModel, inconsistent

_Size = Annotated[int, Field(ge=1, le=2**20)]
_Share = Annotated[float, Field(ge=0, lt=1)]
Vocabulary = Annotated[int, Field(ge=300, le=2**20)]


class Memorised(StrictModel):
    """Weights fitted to the solutions of a dataset until the model recites them (it knows nothing else)."""

    kind: Literal["memorised"]
    dataset: DatasetName
    vocabulary: Vocabulary = Field(description="Tokens of the byte-pair vocabulary fitted to the dataset")
    steps: int = Field(ge=1, le=1_000_000)
    batch: int = Field(ge=1, le=65536)
    learning_rate: float = Field(gt=0, le=10)
    seed: Seed


class RandomWeights(StrictModel):
    """N(0, initializer_range) really written: the true shape's energy and speed, and nothing that it knows."""

    kind: Literal["random"]
    seed: Seed
    vocabulary: Vocabulary = Field(
        description="Tokens of the embedding; the byte-pair vocabulary is fitted to Python's library"
    )
    shard_gib: float = Field(default=2.0, gt=0, le=1024, description="Largest file of weights")


class Shape(StrictModel):
    """Hold what an architecture may say of ``Starcoder2Config``; the vocabulary and its ends are made here."""

    hidden_size: _Size
    intermediate_size: _Size
    num_hidden_layers: int = Field(ge=1, le=1000)
    num_attention_heads: int = Field(ge=1, le=1024)
    num_key_value_heads: int = Field(ge=1, le=1024)
    max_position_embeddings: int = Field(ge=16, le=2**24)
    rope_theta: float = Field(default=10_000.0, ge=1, le=1e12)
    sliding_window: int | None = Field(default=None, ge=1, le=2**24)
    norm_epsilon: float = Field(default=1e-5, gt=0, lt=1)
    hidden_act: Literal[
        "gelu", "gelu_fast", "gelu_new", "gelu_pytorch_tanh", "quick_gelu", "relu", "relu2", "silu"
    ] = "gelu_pytorch_tanh"
    initializer_range: float = Field(default=0.018042, gt=0, le=1)
    use_bias: bool = True
    use_cache: bool = True
    tie_word_embeddings: bool = True
    residual_dropout: _Share = 0.0
    embedding_dropout: _Share = 0.0
    attention_dropout: _Share = 0.0


class Architecture(StrictModel):
    """A StarCoder2 that is built here: ``configs/architectures/<name>.json``."""

    name: Name
    description: str
    weights: Annotated[Memorised | RandomWeights, Field(discriminator="kind")]
    config: dict[str, Any] = Field(
        description=f"Starcoder2Config's arguments: {', '.join(Shape.model_fields)}"
    )

    @field_validator("config")
    @classmethod
    def _can_be_built(cls, value: dict[str, Any]) -> dict[str, Any]:
        """Kept as it is written, for it is part of what a checkpoint is known by."""
        try:
            shape = Shape.model_validate(value)
        except ValidationError as error:
            first = problems(error, Shape, value)[0]
            raise inconsistent(".".join(map(str, first.location)), first.message) from error
        if shape.hidden_size % (2 * shape.num_attention_heads):
            raise inconsistent(
                "num_attention_heads",
                f"is {shape.num_attention_heads}: each takes an even share of hidden_size ({shape.hidden_size})",
            )
        if shape.num_attention_heads % shape.num_key_value_heads:
            raise inconsistent(
                "num_key_value_heads",
                f"is {shape.num_key_value_heads}: takes a divisor of num_attention_heads ({shape.num_attention_heads})",
            )
        return value
