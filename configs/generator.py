"""Say who makes the requests of a study: the load generator on this machine, or Locust's workers on several."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from configs.files.strict import LONGEST_S, Line, StrictModel


class Locust(StrictModel):
    """Locust's distributed mode: the study starts the master for each cell, and waits for workers started elsewhere."""

    kind: Literal["locust"]
    workers: int = Field(
        ge=1, le=256, description="Workers that share each schedule; a cell waits for all of them"
    )
    bind: Line = Field(default="127.0.0.1", description="Address on which the master listens")
    port: int = Field(default=5557, ge=1, le=65535, description="Its port")
    wait_s: int = Field(
        default=300, ge=1, le=LONGEST_S, description="A cell has failed whose workers are not there by then"
    )
