"""Everything that decides what is started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from configs.engine.arguments import with_arguments
from configs.schema import EngineSettings
from configs.variant import Variant
from server.build.store import Checkpoint

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Share:
    """One engine's part of the memory of boards that several are on."""

    utilization: float
    """Of each board: all that it takes."""
    kv_cache_bytes: int
    """Of each board."""


@dataclass(frozen=True)
class EngineSpec:
    """Everything that decides what is started."""

    model: str
    """The name that requests use."""
    variant: Variant
    checkpoint: Checkpoint
    settings: EngineSettings
    """Those of all variants: ``served`` has them as this one is served."""
    port: int
    host: str = HOST
    api_key: str | None = None
    cpus: Sequence[int] | None = None
    seed: int = 0
    boards: tuple[int, ...] | None = None
    """Those that it gets to see, as CUDA counts; None: all that this process sees."""
    share: Share | None = None
    """Of these boards' memory; None: what the settings say, for it is alone there."""

    @property
    def served(self) -> EngineSettings:
        """Return the settings, with those that the variant has of its own."""
        return with_arguments(self.settings, self.variant.engine_args)
