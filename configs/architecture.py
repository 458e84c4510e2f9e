"""The pydantic models of architectures: StarCoder2s whose weights are made here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from configs.strict import StrictModel, checked_name


class Memorised(StrictModel):
    """Weights fitted to the solutions of a dataset until the model recites them (it knows nothing else)."""

    kind: Literal["memorised"]
    dataset: str
    vocabulary: int = Field(ge=300, description="Tokens of the byte-pair vocabulary fitted to the dataset")
    steps: int = Field(ge=1)
    batch: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    seed: int = Field(ge=0)


class RandomWeights(StrictModel):
    """N(0, initializer_range) really written: the true shape's energy and speed, and nothing that it knows."""

    kind: Literal["random"]
    seed: int = Field(ge=0)
    vocabulary: int = Field(
        ge=300, description="Tokens of the embedding; the byte-pair vocabulary is fitted to Python's library"
    )
    shard_gib: float = Field(default=2.0, gt=0, description="Largest file of weights")


class Architecture(StrictModel):
    """A StarCoder2 that is built here: ``configs/architectures/<name>.json``."""

    name: str
    description: str
    weights: Annotated[Memorised | RandomWeights, Field(discriminator="kind")]
    config: dict[str, int | float | bool | str | None] = Field(description="Starcoder2Config's arguments")

    _check_name = field_validator("name")(checked_name)
