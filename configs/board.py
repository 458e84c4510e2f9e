"""Say to what a study sets the boards of its engines: a power limit, a clock, or neither."""

from __future__ import annotations

from pydantic import Field

from configs.files.strict import StrictModel

AS_FOUND = "as-found"
"""The setting that changes nothing."""


class BoardSetting(StrictModel):
    """Boards at a power limit, at a clock, at both, or as they were found: one level of the factor ``board``."""

    power_limit_w: float | None = Field(
        default=None,
        gt=0,
        le=10_000,
        description="Of each board, watts; null: the limit that it was found with",
    )
    sm_clock_mhz: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="The clock that multiprocessors are locked at, as near as the board offers one; null: not locked",
    )

    @property
    def slug(self) -> str:
        """Return its name in paths and tables, such as ``250w``, ``1200mhz`` or ``as-found``."""
        parts = [
            None if self.power_limit_w is None else f"{self.power_limit_w:g}w",
            None if self.sm_clock_mhz is None else f"{self.sm_clock_mhz}mhz",
        ]
        return "-".join(filter(None, parts)) or AS_FOUND


def slug_of(setting: BoardSetting | None) -> str | None:
    """Name a setting; None where a study leaves the boards alone."""
    return None if setting is None else setting.slug
