"""Define what ``starwatt doctor`` says of one thing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Say one thing of a machine: ``state`` is ok, missing (something is not possible here) or failed (mend this)."""

    what: str
    """Empty where the check that found it goes by its own name."""
    state: str
    detail: str
    remedy: str = ""


def ok(detail: str, *, what: str = "") -> Finding:
    """Return that all is well."""
    return Finding(what, "ok", detail)


def missing(detail: str, remedy: str) -> Finding:
    """Return that something is not possible here."""
    return Finding("", "missing", detail, remedy)


def failed(detail: str, remedy: str) -> Finding:
    """Return that something must be mended."""
    return Finding("", "failed", detail, remedy)
