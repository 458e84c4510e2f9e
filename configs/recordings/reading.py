"""Read a recording: arrivals alone (``configs/offsets.py``), or arrivals with lengths, as a table or as JSON Lines.

Which of them a file is, its first line says: a JSON object, the names of columns that are known, or neither.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from configs.files.text_files import read_table
from configs.offsets import offsets_of
from configs.recordings.json_lines import is_json_lines, lines_of_json
from configs.recordings.recording import Recording, recording_of
from configs.recordings.table import columns_of, lines_of_table
from starwatt_errors import UsageError


def read_recording(path: Path, most_tokens: int | None = None) -> Recording:
    """Read the file, unpacked where its name ends in .gz; requests with more tokens than ``most_tokens`` are left out.

    Raises:
        UsageError: it cannot be read, a line is wrong (with its number), or fewer than two instants differ.
    """
    try:
        state = path.stat()
        version = (state.st_mtime_ns, state.st_size)
    except (OSError, ValueError):  # who reads it says so
        version = (0, 0)
    return _read(path, most_tokens, version)


@lru_cache(maxsize=8)
def _read(path: Path, most_tokens: int | None, _version: tuple[int, int]) -> Recording:
    """Read a file once, however often it is asked for: some hold a million requests."""
    text = read_table(path)
    if is_json_lines(text):
        return recording_of(path, lines_of_json(path, text), most_tokens)
    if text.lstrip().startswith("["):
        raise UsageError(
            f"{path}: is a JSON list: takes JSON Lines, an object a line (jq -c '.[]' makes them of it)"
        )
    if columns_of(text) is not None:
        return recording_of(path, lines_of_table(path, text), most_tokens)
    return Recording(tuple(offsets_of(path, text)))
