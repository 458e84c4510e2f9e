"""What decides verdicts and expected outputs beside programs, data and limits: part of every key of the cache."""

from __future__ import annotations

import importlib.metadata
import platform
from functools import cache

import numpy as np

from analysis.accuracy.grader import GRADER_VERSION
from configs import prompt_format


@cache
def versions() -> dict[str, object]:
    """Name the grader, the Python and numpy that programs run on, and what sanitises them (None where missing)."""
    return {
        "grader": GRADER_VERSION,
        "prompt_format": prompt_format.VERSION,
        "python": (platform.python_implementation(), platform.python_version(), platform.machine()),
        "numpy": np.__version__,
        "sanitiser": [_installed(name) for name in ("evalplus", "tree-sitter", "tree-sitter-python")],
    }


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
