"""Say what surrounds a cell's measured window, in time."""

from __future__ import annotations

from pydantic import Field

from configs.files.strict import LONGEST_S, Seconds, StrictModel


class Cooldown(StrictModel):
    """Wait before each engine start until the boards are as cool as before the others."""

    within_c: float = Field(
        default=5.0, ge=0, le=200, description="Above the coolest they were before an engine start"
    )
    within_w: float = Field(
        default=15.0, ge=0, le=10_000, description="The same of the power that they draw without an engine"
    )
    timeout_s: Seconds = Field(
        default=180.0,
        description="After that it starts all the same, and its cells are marked not_cooled",
    )


class PhaseSettings(StrictModel):
    """Say how long each phase around the measured window lasts."""

    idle_s: float = Field(
        default=20.0, ge=0.5, le=LONGEST_S, description="Server loaded, nothing in flight; before and after"
    )
    warmup_s: Seconds = Field(default=15.0, description="The same load, not measured")
    warmup_requests: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Single-stream and closed loads: in place of warmup_s so many requests, at least those in flight",
    )
    rest_s: Seconds = Field(
        default=1.5,
        description="Between the last request (or the engine's start) and idle: vLLM's worker polls for a second",
    )
    drain_s: Seconds = Field(default=60.0, description="At most this long for what is in flight at the end")
    board_settle_s: Seconds = Field(
        default=3.0, description="After a board shows another limit or clock, before the cell begins"
    )
    cooldown: Cooldown | None = Field(
        default=Cooldown(), description="Between engine starts, where GPUs say how warm they are; null: none"
    )
