"""What ``starwatt doctor`` says of one thing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One line: ``state`` is ok, missing (something is not possible here) or failed (mend this)."""

    what: str
    state: str
    detail: str
    remedy: str = ""
