"""Counts how often files are opened, by whatever library: the kernel says so (inotify)."""

from __future__ import annotations

import ctypes
import os
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OPENED, _CLOSED, _OVERFLOW = (
    0x20,
    0x10,
    0x4000,
)  # closings keep the kernel from merging two openings into one event
_HEAD = struct.Struct("iIII")
_LIBC = ctypes.CDLL(None, use_errno=True)


@contextmanager
def counted_opens(root: Path) -> Iterator[Counter[Path]]:
    """By file below ``root``: how often it was opened inside; filled when the block ends."""
    counts: Counter[Path] = Counter()
    watcher = _LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if watcher < 0:
        raise OSError(ctypes.get_errno(), "inotify_init1")
    try:
        folders = {
            _LIBC.inotify_add_watch(watcher, os.fsencode(folder), _OPENED | _CLOSED): folder
            for folder in (root, *(path for path in root.rglob("*") if path.is_dir()))
        }
        yield counts
        _read(watcher, folders, counts)
    finally:
        os.close(watcher)


def _read(watcher: int, folders: dict[int, Path], counts: Counter[Path]) -> None:
    while True:
        try:
            events = os.read(watcher, 1 << 20)
        except BlockingIOError:
            return
        while events:
            watch, mask, _, length = _HEAD.unpack_from(events)
            name = events[_HEAD.size : _HEAD.size + length].rstrip(b"\0")
            events = events[_HEAD.size + length :]
            if mask & _OVERFLOW:
                raise OSError("more files were opened than the kernel could count")
            path = folders[watch] / os.fsdecode(name)
            if mask & _OPENED and name and path.is_file():
                counts[path] += 1
