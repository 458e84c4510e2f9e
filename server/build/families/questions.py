"""Ask transformers in a process of its own, since torch takes seconds to load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping

_TIMEOUT_S = 180.0


def words_from(*arguments: str) -> Mapping[str, str]:
    """Run Python with ``arguments``, and return the JSON of its last line; empty where it gives none."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-P", *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return {}
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        return {}
    words: dict[str, str] = json.loads(lines[-1])
    return words
