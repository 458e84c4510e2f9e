"""Recordings of requests that others served: when each came, and how long its prompt and its answer were."""

from configs.recordings.reading import read_recording
from configs.recordings.recording import Lengths, Recording

__all__ = ["Lengths", "Recording", "read_recording"]
