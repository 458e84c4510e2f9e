"""Tell whether a process has a GPU open, by the files that it holds: what can be told where NVML lists no process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

PROC, DEV = Path("/proc"), Path("/dev")
_BOARDS = "nvidia[0-9]*"
_LIBRARY = "libcuda.so"


def has_no_board_open(
    pid: int, proc: Path = PROC, dev: Path = DEV, *, descendants: bool = True
) -> bool | None:
    """Tell whether neither a process nor, with ``descendants``, any of these has a board open or CUDA's library loaded.

    None where that cannot be told: boards are no device files here, or a process may not be looked at.
    """
    if not any(dev.glob(_BOARDS)):
        return None
    try:
        root = psutil.Process(pid)
        below = root.children(recursive=True) if descendants else []
        return not any(_uses_a_board(proc / str(process.pid)) for process in (root, *below))
    except (psutil.Error, OSError):
        return None


def _uses_a_board(process: Path) -> bool:
    if any(file.match(f"/dev/{_BOARDS}") for file in _open_files(process / "fd")):
        return True
    return _LIBRARY in (process / "maps").read_text(encoding="utf-8", errors="replace")


def _open_files(descriptors: Path) -> Iterator[Path]:
    for link in descriptors.iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            yield link.readlink()
