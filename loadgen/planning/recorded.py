"""What is asked where a recording has lengths: its requests in their order, in place of a data set's tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from configs.loads import Load, Open
from configs.recordings import Lengths, Recording
from loadgen.planning.arrivals import recording_of, replayed


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request of a recording, known by its place in the order of times."""

    number: int
    lengths: Lengths

    @property
    def task_id(self) -> str:
        """Return its name in tables."""
        return f"trace/{self.number}"


def with_lengths(load: Load) -> Recording | None:
    """Return the recording that a load replays with its lengths; None where prompts come from the study's data set.

    Raises:
        UsageError: the trace file cannot be read.
    """
    if not isinstance(load, Open) or load.trace is None:
        return None
    recording = recording_of(load)
    return recording if recording.lengths is not None else None


def requests_in(recording: Recording) -> list[RecordedRequest]:
    """Return the requests of a recording with lengths."""
    return [RecordedRequest(number, lengths) for number, lengths in enumerate(recording.lengths or ())]


def in_recorded_order(
    requests: Sequence[RecordedRequest], offsets_ns: Sequence[int], warmup_ns: int
) -> Iterator[tuple[int, RecordedRequest]]:
    """Yield (round, request), in step with ``arrivals.trace_offsets_ns``."""
    return ((number, requests[place]) for _, number, place in replayed(offsets_ns, warmup_ns))
