"""Count the tokens of each chunk, and of all: a server's counts are read only as they can be meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Counts:
    """Hold what a server counted of one answer."""

    of_chunks: Sequence[int | None]
    """``usage.completion_tokens`` of each chunk: a running total as it should be, or the chunk's own."""
    with_text: Sequence[bool]
    """For each chunk, whether it brought text, and so at least a token."""
    after: int | None
    """The last count that came after the last chunk."""

    def read(self) -> tuple[int | None, list[int] | None]:
        """Return tokens of the answer and of each of its chunks; None where the server did not say.

        Fewer tokens than chunks with text are none: such a figure would make a token dearer than it is.
        """
        per_chunk = self._own()
        if per_chunk is not None and self._cannot_run and (self.after or 0) <= sum(per_chunk):
            return sum(per_chunk), per_chunk
        total = self._total()
        if total is None:
            return self._continued()
        for reading in (self._growth(), per_chunk):
            if reading is not None and sum(reading) == total and self._fits(reading):
                return total, reading
        running = self._growth()
        return total, running if running is not None and sum(running) <= total and self._fits(
            running
        ) else None

    def _total(self) -> int | None:
        last = self.of_chunks[-1] if self.of_chunks and self.after is None else self.after
        return last if last is not None and last >= sum(self.with_text) else None

    def _growth(self) -> list[int] | None:
        """Count tokens from each chunk to the next; None where a count is missing or falls."""
        growth, before = [], 0
        for count in self.of_chunks:
            if count is None or count < before:
                return None
            growth.append(count - before)
            before = count
        return growth

    def _own(self) -> list[int] | None:
        """Return each chunk's own count; None where a chunk has none."""
        counts = [count for count in self.of_chunks if count]
        return counts if counts and len(counts) == len(self.of_chunks) else None

    @property
    def _cannot_run(self) -> bool:
        """Say whether these are no running total: it would fall somewhere, or stay at one while text comes."""
        known = [count for count in self.of_chunks if count is not None]
        return any(after < before for before, after in pairwise(known)) or (
            sum(self.with_text) > 1 and set(known) == {1}
        )

    def _fits(self, reading: Sequence[int]) -> bool:
        return all(tokens or not text for tokens, text in zip(reading, self.with_text, strict=True))

    def _continued(self) -> tuple[int | None, list[int] | None]:
        """Continue a running total that grew by one with each chunk, and was left out with the last alone."""
        count = len(self.of_chunks)
        if count > 1 and self.after is None and list(self.of_chunks) == [*range(1, count), None]:
            return count, [1] * count
        return None, None
