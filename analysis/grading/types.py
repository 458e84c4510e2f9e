"""What goes into the grader and what comes out."""

from __future__ import annotations

from dataclasses import dataclass, field

Spans = tuple[tuple[int, int], ...]
"""Of characters, each with its start and the place after its end."""


@dataclass(frozen=True)
class Candidate:
    """One completion, as the server returned it, of one request."""

    request_id: int
    task_id: str
    completion: str


@dataclass(frozen=True)
class Verdict:
    """The judgement of one program.

    ``plus`` means base and plus. ``reason`` is ``passed``, ``wrong_answer``, ``exception``, ``timeout``, ``memory``,
    ``syntax``, ``output`` (more than a result may hold) or ``forbidden`` (it wrote results by itself, or brought the
    sandbox down); ``detail`` names the first failing input. ``retried``: it was run again, alone, before it counted.
    ``cpu_s``: the CPU seconds of its runs on base and plus together, as the kernel counts them. ``kept``: the
    characters of the program that were run; None where it was not sanitised, or nobody knows.
    """

    base: bool
    plus: bool
    reason: str
    detail: str
    retried: bool
    cpu_s: float
    kept: Spans | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Grade(Verdict):
    """The verdict of one request. ``solution_chars``: the characters of its completion that were run, as edges."""

    request_id: int
    task_id: str
    solution_chars: tuple[int, ...] | None = None


@dataclass(frozen=True)
class SandboxStatus:
    """Say whether candidates can be run here; if not, why, and the command or setting that helps.

    ``note``: what holds.
    """

    ok: bool
    reason: str
    remedy: str
    note: str = ""
