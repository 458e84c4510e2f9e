"""The pydantic models of architectures: models whose weights are made here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from configs.datasets import DatasetName
from configs.files.problems import problems
from configs.files.strict import Name, Seed, StrictModel, inconsistent
from configs.shapes import SHAPES, family_of

Vocabulary = Annotated[int, Field(ge=300, le=2**20)]


class Memorised(StrictModel):
    """Weights fitted to the solutions of a dataset until the model recites them (it knows nothing else)."""

    kind: Literal["memorised"]
    dataset: DatasetName
    vocabulary: Vocabulary = Field(description="Tokens of the byte-pair vocabulary fitted to the dataset")
    steps: int = Field(
        ge=1,
        le=1_000_000,
        description="With a margin: the most that are taken to reach it; a build fails that does not",
    )
    batch: int = Field(ge=1, le=65536)
    learning_rate: float = Field(gt=0, le=10)
    seed: Seed
    margin: float | None = Field(
        default=None,
        gt=0,
        le=100,
        description="Logits by which a right token leads the next best when it is left alone, and all do when"
        " fitting ends; null: leads grow until rounding to 4 bits changes no token",
    )
    chat: Literal["chatml"] | None = Field(
        default=None, description="It has this chat template, and recites by chat too"
    )


class RandomWeights(StrictModel):
    """N(0, initializer_range) really written: the true shape's energy and speed, and nothing that it knows."""

    kind: Literal["random"]
    seed: Seed
    vocabulary: Vocabulary = Field(
        description="Tokens of the embedding; the byte-pair vocabulary is fitted to Python's library"
    )
    shard_gib: float = Field(default=2.0, gt=0, le=1024, description="Largest file of weights")


class Architecture(StrictModel):
    """A model that is built here: ``configs/architectures/<name>.json``."""

    name: Name
    description: str
    weights: Annotated[Memorised | RandomWeights, Field(discriminator="kind")]
    config: dict[str, Any] = Field(
        description=f"Arguments of a family's configuration in transformers; model_type: {', '.join(SHAPES)}"
    )

    @field_validator("config")
    @classmethod
    def _can_be_built(cls, value: dict[str, Any]) -> dict[str, Any]:
        """Check it, and keep it as it is written: it is part of what a checkpoint is known by."""
        family = family_of(value)
        if not isinstance(family, str) or family not in SHAPES:
            raise inconsistent("model_type", f"takes one of {', '.join(SHAPES)} (given: {family!r})")
        model = SHAPES[family]
        try:
            model.model_validate(value)
        except ValidationError as error:
            first = problems(error, model, value)[0]
            raise inconsistent(".".join(map(str, first.location)), first.message) from error
        return value

    @property
    def family(self) -> str:
        """Name it as transformers does."""
        return str(family_of(self.config))

    @property
    def settings(self) -> dict[str, Any]:
        """Return what its family's configuration is told, without the family itself."""
        return {name: value for name, value in self.config.items() if name != "model_type"}
