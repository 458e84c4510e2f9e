"""Define what a load leaves beside its trace; it goes from the load generator's process to the runner as JSON."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import TypeAdapter

from traces.cell import Audit, Phases
from traces.remote import PowerClock


@dataclass(frozen=True)
class LoadResult:
    """The requests themselves are in ``requests.parquet``."""

    phases: Phases
    audit: Audit
    errors: dict[str, int]
    """Requests per status other than ok, all roles."""
    interrupted: bool
    gave_up: str | None = None
    """Why a closed load stopped sending before its end."""
    clocks: tuple[PowerClock, ...] = ()
    """The clocks of workers on other machines beside that of the requests, in the workers' order."""


RESULTS: TypeAdapter[LoadResult] = TypeAdapter(LoadResult)
