"""Say when the engines of a study are started anew: how much starts differ is known only where there are several."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from configs.executor import NeighbourCheck
from configs.files.strict import StrictModel, shape


class Resident(StrictModel):
    """All variants of a model stay loaded, one at a time is asked: a block takes no engine start."""

    resident: Literal["auto"] = Field(
        description="auto: where memory holds all variants of a model; elsewhere engines start as by each_block"
    )
    every: int = Field(
        default=2,
        ge=1,
        le=1000,
        description="Blocks after which all engines are started anew; from three starts on an interval between variants"
        " holds for other starts too, and five blocks have three of these",
    )

    alone: NeighbourCheck | None = Field(
        default=None,
        description="The cell that is measured again with no other engine loaded, once a block, when all is measured;"
        " {}: the baseline under the last load; null: none",
    )

    def start_of(self, block: int) -> int:
        """Return which start of all engines serves a block, from 0."""
        return (block - 1) // self.every


EngineRestarts = Annotated[
    Annotated[Literal["each_block", "once"], Tag("word")] | Annotated[Resident, Tag("fields")],
    Discriminator(shape),
]
