"""Count what an engine did for each request of a window, step by step, as far as the arrival of tokens shows it.

An engine with continuous batching gives every request that it holds one token a step, so the requests present at a
moment are those between their first and their last token, and a token that came while N of them were present is the
N-th part of a step. A prompt is worked on in the step that ends with its first token. Nothing is sorted but
the requests' first and last tokens: presence is counted on a grid of time that every chunk then looks itself up in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from analysis.arrays import Floats, Ints
from analysis.requests.columns import Requests
from analysis.requests.slabs import Slab
from analysis.requests.window import Window

Stretches = npt.NDArray[np.int16]
_Number = TypeVar("_Number", np.float64, np.int16)
KINDS = ("steps", "decoded", "prefilled", "context")
MOST_BINS = 1 << 22
FINEST_SHIFT = 18  # bins of 0.26 ms: tokens of one step arrive within less


@dataclass(frozen=True)
class Work:
    """Hold what was done for n requests inside a window, and in its J stretches of equal length.

    Columns are ``KINDS``: steps (each shared by those present), tokens decoded, tokens of prompts
    read in, and tokens of context that attention read (prompt and answer so far, a token).
    """

    requests: Floats  # (n, 4)
    stretches: Floats  # (J, 4)
    edges_s: Floats  # (J + 1,) from the window's start
    part: Floats | None = None  # (4,) of the part of the tokens that was asked for; no prompt is in it


class WorkCount:
    """Add up the work of every request inside a window.

    O(m) in chunks, O(n) in requests. Prompts that came from the prefix cache are left out of ``prefilled`` where
    the server says so; a prompt of unknown length counts as none.
    """

    def __init__(
        self, requests: Requests, window: Window, stretches: int, part: Callable[[Slab], Floats] | None = None
    ) -> None:
        """Nothing is counted yet.

        Args:
            requests: n of them; their chunks carry tokens.
            window: tokens outside it are not counted, and a prompt counts where its first token came inside.
            stretches: into how many the window is cut.
            part: gives the share of each chunk's tokens (c,) whose work is wanted by itself.
        """
        self._requests, self._window, self._part = requests, window, part
        self._presence = _Presence(requests, window)
        self._stretch = self._presence.stretches(stretches)
        self._per_request = np.zeros((requests.count, len(KINDS)))
        self._per_stretch = np.zeros((stretches, len(KINDS)))
        self._of_part = np.zeros(len(KINDS))

    @property
    def work(self) -> Work:
        """Return what was counted, once all chunks were seen."""
        edges_s = np.linspace(0.0, self._window.seconds, len(self._per_stretch) + 1)
        part = None if self._part is None else self._of_part
        return Work(self._per_request, self._per_stretch, edges_s, part)

    def see(self, slab: Slab) -> None:
        """Count the work of a slab."""
        since, columns = self._columns(slab)
        place = self._presence.at(self._stretch, since)
        part = None if self._part is None else self._part(slab)
        for at, values in enumerate(columns):
            self._per_request[slab.rows, at] = slab.per_request(values)
            self._per_stretch[:, at] += np.bincount(place, weights=values, minlength=len(self._per_stretch))
            if part is not None and KINDS[at] != "prefilled":
                self._of_part[at] += float((values * part).sum())

    def _columns(self, slab: Slab) -> tuple[Ints, tuple[Floats, ...]]:
        """Return when each chunk came, ns from the window's start within it, and what was done for it by ``KINDS``."""
        length_ns = self._window.end_ns - self._window.start_ns
        since = slab.chunk_ns - self._window.start_ns
        inside = (since >= 0) & (since <= length_ns)
        tokens = slab.weight * inside
        since = np.clip(since, 0, length_ns)
        prompts = np.nan_to_num(self._requests.prompt_tokens[slab.rows])
        fresh = np.maximum(prompts - np.nan_to_num(self._requests.cached_tokens[slab.rows]), 0.0)
        has = slab.counts > 0
        prompt = np.zeros(since.size)
        prompt[slab.starts[:-1][has]] = fresh[has]
        columns = (
            tokens * self._presence.at(self._presence.share, since),
            tokens,
            prompt * inside,
            tokens * (slab.spread(prompts) + _running(slab.weight, slab.starts)),
        )
        return since, columns


class _Presence:
    """Count the requests that are present at each moment of a window, on a grid of bins of 2^shift ns."""

    def __init__(self, requests: Requests, window: Window) -> None:
        length_ns = window.end_ns - window.start_ns
        shift = FINEST_SHIFT
        while (length_ns >> shift) >= MOST_BINS:
            shift += 1
        spans = requests.spans
        last_ns = np.maximum(spans.first_ns, spans.last_ns)
        here = (spans.chunks > 0) & (last_ns >= window.start_ns) & (spans.first_ns <= window.end_ns)
        first = (np.clip(spans.first_ns[here] - window.start_ns, 0, length_ns)) >> shift
        last = (np.clip(last_ns[here] - window.start_ns, 0, length_ns)) >> shift
        bins = (length_ns >> shift) + 2
        present = np.bincount(first, minlength=bins)
        present -= np.bincount(last + 1, minlength=bins)
        np.cumsum(present, out=present)
        self._shift, self._length_ns = shift, length_ns
        self.share: Floats = 1.0 / np.maximum(present, 1)  # (bins,) one over the number present

    def stretches(self, count: int) -> Stretches:
        """Say in which of so many equal stretches of the window each bin lies, (bins,)."""
        first = -(-(np.arange(count + 1) * self._length_ns) // count)  # of each, the first moment in whole ns
        bins = -(-first // (1 << self._shift))
        bins[-1] = self.share.size
        return np.repeat(np.arange(count, dtype=np.int16), np.diff(bins))

    def at(self, of_bin: npt.NDArray[_Number], since_ns: Ints) -> npt.NDArray[_Number]:
        """Look up what a bin has, at moments from the window's start (not before it, not after its end)."""
        values: npt.NDArray[_Number] = of_bin[since_ns >> self._shift]
        return values


def _running(weights: Floats, starts: Ints) -> Floats:
    """Count, for each chunk, the tokens of its request that came before it."""
    total = np.concatenate(([0.0], np.cumsum(weights)))
    return np.asarray(total[:-1] - np.repeat(total[starts[:-1]], np.diff(starts)))
