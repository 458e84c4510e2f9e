"""Count what an engine did for each request of a window, step by step, as far as the arrival of tokens shows it.

An engine with continuous batching gives every request that it holds one token a step, so the requests present at a
moment are those between their first and their last token, and a token that came while N of them were present is the
N-th part of a step. A prompt is worked on in the step that ends with its first token. Nothing is sorted but
the requests' first and last tokens: presence is counted on a grid of time that every chunk then looks itself up in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from analysis.arrays import Bools, Floats, Ints
from analysis.requests.columns import Requests
from analysis.requests.window import Window

_Number = TypeVar("_Number", np.float64, np.int64)
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


def work_of(requests: Requests, window: Window, stretches: int) -> Work:
    """Count the work of every request inside ``window``.

    O(m) in chunks, O(n log n) in requests. Prompts that came from the prefix cache are left out of ``prefilled`` where
    the server says so; a prompt of unknown length counts as none.

    Args:
        requests: n of them; their chunks carry tokens.
        window: tokens outside it are not counted, and a prompt counts where its first token came inside.
        stretches: into how many the window is cut.
    """
    presence = _Presence(requests, window)
    length_ns = window.end_ns - window.start_ns
    per_request = np.zeros((requests.count, 4))
    per_stretch = np.zeros((stretches, 4))
    stretch = presence.stretches(stretches)
    prompts = np.nan_to_num(requests.prompt_tokens)
    fresh = np.maximum(prompts - np.nan_to_num(requests.cached_tokens), 0.0)
    for slab in requests.slabs():
        since = requests.chunk_ns[slab.chunks] - window.start_ns
        inside = (since >= 0) & (since <= length_ns)
        tokens = requests.chunk_weight[slab.chunks] * inside
        since = np.clip(since, 0, length_ns)
        before = _running(requests.chunk_weight[slab.chunks], slab.starts - slab.starts[0])
        starts = (slab.starts - slab.starts[0])[:-1][slab.starts[1:] > slab.starts[:-1]]
        prompt = np.zeros(since.size)
        prompt[starts] = fresh[slab.rows][slab.starts[1:] > slab.starts[:-1]]
        columns = (
            tokens * presence.at(presence.share, since),
            tokens,
            prompt * inside,
            tokens * (slab.spread(prompts[slab.rows]) + before),
        )
        place = presence.at(stretch, since)
        for at, values in enumerate(columns):
            per_request[slab.rows, at] = slab.per_request(values)
            per_stretch[:, at] += np.bincount(place, weights=values, minlength=stretches)
    return Work(per_request, per_stretch, np.linspace(0.0, window.seconds, stretches + 1))


class _Presence:
    """Count the requests that are present at each moment of a window, on a grid of bins of 2^shift ns."""

    def __init__(self, requests: Requests, window: Window) -> None:
        length_ns = window.end_ns - window.start_ns
        shift = FINEST_SHIFT
        while (length_ns >> shift) >= MOST_BINS:
            shift += 1
        first_ns, last_ns, has = _first_and_last(requests)
        here = has & (last_ns >= window.start_ns) & (first_ns <= window.end_ns)
        first = (np.clip(first_ns[here] - window.start_ns, 0, length_ns)) >> shift
        last = (np.clip(last_ns[here] - window.start_ns, 0, length_ns)) >> shift
        bins = (length_ns >> shift) + 2
        changes = np.bincount(first, minlength=bins) - np.bincount(last + 1, minlength=bins)
        self._shift, self._length_ns = shift, length_ns
        self.share: Floats = 1.0 / np.maximum(np.cumsum(changes), 1)  # (bins,) one over the number present

    def stretches(self, count: int) -> Ints:
        """Say in which of so many equal stretches of the window each bin lies, (bins,)."""
        starts = np.arange(self.share.size, dtype=np.int64) << self._shift
        return np.asarray(np.minimum(starts * count // self._length_ns, count - 1))

    def at(self, of_bin: npt.NDArray[_Number], since_ns: Ints) -> npt.NDArray[_Number]:
        """Look up what a bin has, at moments from the window's start (not before it, not after its end)."""
        values: npt.NDArray[_Number] = of_bin[since_ns >> self._shift]
        return values


def _first_and_last(requests: Requests) -> tuple[Ints, Ints, Bools]:
    """Find when the first and the last chunk of each request came (n,), and which have any."""
    starts, ends = requests.chunk_start[:-1], requests.chunk_start[1:]
    has = ends > starts
    if not has.any():
        nothing = np.zeros(requests.count, dtype=np.int64)
        return nothing, nothing, has
    first = requests.chunk_ns[np.where(has, starts, 0)]
    last = requests.chunk_ns[np.where(has, ends - 1, 0)]
    return first, np.maximum(first, last), has


def _running(weights: Floats, starts: Ints) -> Floats:
    """Count, for each chunk, the tokens of its request that came before it."""
    total = np.concatenate(([0.0], np.cumsum(weights)))
    return np.asarray(total[:-1] - np.repeat(total[starts[:-1]], np.diff(starts)))
