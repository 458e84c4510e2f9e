"""Which analysis this is: another digest for every change of code that could compute something else."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy

import analysis
import configs
import traces

_ROOMS = (analysis, configs, traces)
"""What ``analysis`` may import, itself among them (docs/design.md)."""


@cache
def analysis_version() -> str:
    """Digest the sources of all rooms that analysis is made of, and name the libraries that it computes with."""
    digest = hashlib.sha256()
    libraries = (np.__version__, pd.__version__, pa.__version__, scipy.__version__)
    digest.update(repr((platform.python_version(), platform.machine(), *libraries)).encode())
    for room in _ROOMS:
        (folder,) = room.__path__
        for path in sorted(Path(folder).rglob("*.py")):
            digest.update(f"{path.relative_to(folder)}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
