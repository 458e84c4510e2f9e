"""The second pass over a cell's chunks: what the first had to be over for."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from analysis.accuracy.outside import Outside, OutsideCount
from analysis.attribution.phase import stretches_of
from analysis.attribution.steps import Work, WorkCount
from analysis.energy.moments import Coherence, OfChunks
from analysis.energy.rhythm import coherent_lines
from analysis.requests.columns import Requests
from analysis.requests.gaps import Spread, spread_of
from analysis.requests.window import Window


@dataclass(frozen=True)
class SecondLook:
    """Hold what the second pass over a cell's chunks told."""

    work: Work  # of every request in the window
    outside: Outside | None  # tokens outside of the code that was graded; None: nothing is graded
    itl_ms: Spread  # of the times between tokens
    chunks: OfChunks  # when they came, and how far they keep a rhythm


def look_again(requests: Requests, window: Window, grades: pa.Table | None) -> SecondLook:
    """Look at all chunks of a cell once more, for everybody who needs to.

    Args:
        requests: of which all chunks have been seen once.
        window: theirs.
        grades: verdicts on their answers; None where there are none.
    """
    outside = None if grades is None else OutsideCount(grades, requests)
    share = None if outside is None else outside.share
    count = WorkCount(requests, window, stretches_of(window.seconds), share)
    closer, chunks = requests.gaps.closer(), OfChunks(requests.chunks, requests.pulse)
    rhythm = None if requests.chunks.kept else _rhythm(chunks, window)
    wanted = [viewer for viewer in (outside, count, closer, rhythm) if viewer is not None]
    requests.chunks.show(*wanted, chars=outside is not None)
    if rhythm is not None:
        chunks.know(rhythm)
    return SecondLook(
        work=count.work,
        outside=None if outside is None else outside.outside,
        itl_ms=spread_of(requests.gaps) if closer is None else closer.spread(),
        chunks=chunks,
    )


def _rhythm(chunks: OfChunks, window: Window) -> Coherence | None:
    """Return what will be asked of the moments at which chunks came; None where they keep no rhythm."""
    lines_hz = coherent_lines(chunks.pulse(window))
    return Coherence(float(lines_hz[0]), window) if lines_hz.size else None
