"""The boards of the machine that runs the tests: hidden, so that a test sees those that it asks for, or none.

Where a driver is installed, processes find ``golden_nvml.c`` in its place, which without a world has no driver either.
Which boards this process was given (``CUDA_VISIBLE_DEVICES``) says nothing of simulated ones.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
from pathlib import Path

import pynvml

from tests.golden.nvml.world import compile_library

_LIBRARY = "libnvidia-ml.so.1"


class HostBoards:
    """Hides them, and shows them again to a test that serves on them."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._seen: dict[str, str | None] = {}
        self._loaded = pynvml.nvmlLib

    def hide(self) -> None:
        """From this process and those that it starts, until ``show``."""
        if self._seen or not _driver_is_here():
            return
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="no-boards-")
            compile_library(Path(self._folder.name))
        paths = [self._folder.name, os.environ.get("LD_LIBRARY_PATH", "")]
        self._seen = {
            name: os.environ.pop(name, None) for name in ("CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")
        }
        os.environ["LD_LIBRARY_PATH"] = ":".join(filter(None, paths))
        self._load(ctypes.CDLL(str(Path(self._folder.name) / _LIBRARY)))

    def show(self) -> None:
        """Leave everything as ``hide`` found it."""
        for name, value in self._seen.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if self._seen:
            self._load(self._loaded)
        self._seen = {}

    def close(self) -> None:
        """Show them, and remove what stood in their driver's place."""
        self.show()
        if self._folder is not None:
            self._folder.cleanup()

    @staticmethod
    def _load(library: ctypes.CDLL | None) -> None:
        pynvml.nvmlLib = library
        pynvml._nvmlGetFunctionPointer_cache = {}


def _driver_is_here() -> bool:
    try:
        ctypes.CDLL(_LIBRARY)
    except OSError:
        return False
    return True
