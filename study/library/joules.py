"""Joules of a block as they are handed out: of a boundary, and of each of its devices."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Joules:
    """Say what one device used, or all devices of a boundary by one source; gross, as the meter shows it."""

    name: str
    """The device (a GPU's UUID, ``package-0``, …), or the boundary."""
    boundary: str
    """``gpu``, ``cpu``, ``dram`` or ``host``: joules of two boundaries are never added."""
    source: str
    """``nvml``, ``rapl``, ``external``, or ``modelled``: an estimate from CPU time."""
    joules: float | None
    """None where nothing can be said; ``reasons`` say why."""
    lo: float | None
    """The ends of the 95 % interval for what the sensor may have missed (sampling)."""
    hi: float | None
    gain: float | None
    """How far true joules may be from those that this meter shows, relative (0.1: ±10 %); None: not known."""
    reasons: tuple[str, ...]
    """Codes of docs/reference/reasons.md: why ``joules`` is not to be believed."""

    @property
    def valid(self) -> bool:
        """Say whether there is a figure and nothing stands against it."""
        return self.joules is not None and not self.reasons

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return ``(lo, hi)``; None where it is not known."""
        return None if self.lo is None or self.hi is None else (self.lo, self.hi)

    def __str__(self) -> str:
        """Write one line for a person."""
        if self.joules is None:
            return f"no joules of {self.name}"
        between = "" if self.interval is None else f" ({self.lo:.4g} to {self.hi:.4g})"
        estimated = ", an estimate: CPU time x watts" if self.source == "modelled" else ""
        return f"{self.joules:.4g} J{between} {self.name} by {self.source}{estimated}"


@dataclass(frozen=True)
class BlockJoules:
    """Hold all that was recorded, the boundary that stands for it first: measured before modelled, GPU before CPU."""

    boundaries: tuple[Joules, ...]
    devices: tuple[Joules, ...]
