"""What vLLM says of itself in its log: progress while it loads, and what really serves once it has loaded."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from server.build.store import Checkpoint
from traces.cell import Served

_PREFIX = re.compile(r"^.*?\b(?:INFO|WARNING|ERROR) [\d-]+ [\d:.]+ \[[^\]]+\] ")
_WORDS = re.compile(
    r"Resolved architecture|Initializing a V1|Loading|Starting to load|KV cache size|warming up|took"
)
_KV_TOKENS = re.compile(r"KV cache size: ([\d,]+) tokens")
_ARCHITECTURE = re.compile(r"Resolved architecture: (\w+)")
_KERNEL = re.compile(
    r"Using \S*(?:Kernel|Backend|backend|attention)\b|\w+LinearKernel|attention backend|Kernel for"
)
_QUANTIZATION = re.compile(r"\bquantization=([\w-]+)")
_DTYPE = re.compile(r"\bdtype=torch\.(\w+)")
_LONGEST = 160


class Announcer:
    """Hands on new log lines that tell a person how far the loading is."""

    def __init__(self, log: Path, announce: Callable[[str], None]) -> None:
        self._log = log
        self._announce = announce
        self._read = 0

    def poll(self) -> None:
        """Announce the latest telling line since the last call."""
        with self._log.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        self._read += len(new)
        telling = [line for line in new.decode(errors="replace").splitlines() if _WORDS.search(line)]
        if telling:
            self._announce(strip_prefix(telling[-1])[:_LONGEST])


def strip_prefix(line: str) -> str:
    """A log line without process, level, time and source file."""
    return _PREFIX.sub("", line).strip()


def served_from_log(log: Path, *, version: str, command: list[str], checkpoint: Checkpoint) -> Served:
    """What the engine resolved, from its log; null for what it does not say."""
    text = log.read_text(encoding="utf-8", errors="replace")
    kv_tokens = _KV_TOKENS.search(text)
    architecture = _ARCHITECTURE.search(text)
    quantization = _QUANTIZATION.search(text)
    dtype = _DTYPE.search(text)
    implementation = architecture.group(1) if architecture else None
    if implementation and "Using Transformers modeling backend" in text:
        implementation += " (Transformers modelling backend)"
    kernels = [strip_prefix(line)[:_LONGEST] for line in text.splitlines() if _KERNEL.search(line)]
    return Served(
        engine="vllm",
        version=version,
        model_implementation=implementation,
        kernels=list(dict.fromkeys(kernels)),
        quantization=None
        if quantization is None or quantization.group(1) == "None"
        else quantization.group(1),
        dtype=dtype.group(1) if dtype else None,
        kv_cache_tokens=int(kv_tokens.group(1).replace(",", "")) if kv_tokens else None,
        command=command,
        checkpoint=checkpoint.digest,
        memorised=checkpoint.memorised,
        random_weights=checkpoint.random_weights,
    )
