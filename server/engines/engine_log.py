"""Read vLLM's log: progress while it loads, and what really serves once it has loaded."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from server.build.families.served import facts_of
from server.build.store import Checkpoint
from traces.cell import Served

_PREFIX = re.compile(r"^.*?\b(?:INFO|WARNING|ERROR) [\d-]+ [\d:.]+ \[[^\]]+\] ")
_WORDS = re.compile(
    r"Resolved architecture|Initializing a V1|Loading|Starting to load|KV cache size|warming up|took|Capturing"
)
_KV_TOKENS = re.compile(r"KV cache size: ([\d,]+) tokens")
_CORE = re.compile(r"\((EngineCore\w*(?: pid=\d+)?)\)")
_ARCHITECTURE = re.compile(r"Resolved architecture: (\w+)")
_KERNEL = re.compile(
    r"Using \S*(?:Kernel|Backend|backend|attention)\b|\w+LinearKernel|attention backend|Kernel for|"
    r"Using \S+ (?:attention )?backend\b|Using FlashAttention version|top-p & top-k sampling|all-reduce backends"
)
_QUANTIZATION = re.compile(r"\bquantization=([\w-]+)")
_DTYPE = re.compile(r"\bdtype=torch\.(\w+)")
_SPECULATION = re.compile(r"\bspeculative_config=SpeculativeConfig\(method='(\w+)'")
_KV_DTYPE = re.compile(r"\bkv_cache_dtype=([\w.]+)")
_SWITCH = r"\b{}=(True|False)\b"
_PARALLEL = re.compile(r"\b(tensor|pipeline|data)_parallel_size=(\d+)\b")
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
    """Return a log line without process, level, time and source file."""
    return _PREFIX.sub("", line).strip()


def served_from_log(log: Path, *, version: str, command: list[str], checkpoint: Checkpoint) -> Served:
    """Read what the engine resolved from its log; null for what it does not say."""
    text = log.read_text(encoding="utf-8", errors="replace")
    quantization = _first(_QUANTIZATION, text)
    implementation = _first(_ARCHITECTURE, text)
    if implementation and "Using Transformers modeling backend" in text:
        implementation += " (Transformers modelling backend)"
    kernels = [strip_prefix(line)[:_LONGEST] for line in text.splitlines() if _KERNEL.search(line)]
    return Served(
        engine="vllm",
        version=version,
        model_implementation=implementation,
        kernels=list(dict.fromkeys(kernels)),
        quantization=None if quantization == "None" else quantization,
        dtype=_first(_DTYPE, text),
        kv_cache_tokens=_kv_cache_tokens(text),
        speculation=_first(_SPECULATION, text),
        kv_cache_dtype=_first(_KV_DTYPE, text),
        prefix_cache=_switch("enable_prefix_caching", text),
        chunked_prefill=_switch("enable_chunked_prefill", text),
        parallel={kind: int(size) for kind, size in _PARALLEL.findall(text)},
        command=command,
        checkpoint=checkpoint.digest,
        **facts_of(checkpoint, command),
    )


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    match = pattern.search(text)
    return match.group(1) if match else None


def _switch(name: str, text: str) -> bool | None:
    said = _first(re.compile(_SWITCH.format(name)), text)
    return None if said is None else said == "True"


def _kv_cache_tokens(text: str) -> int | None:
    """Add up those of all cores: with data parallelism each has a cache of its own, and says so."""
    by_core: dict[str, int] = {}
    for line in text.splitlines():
        size = _KV_TOKENS.search(line)
        if size:
            core = _CORE.match(line)
            by_core[core[1] if core else ""] = int(size[1].replace(",", ""))
    return sum(by_core.values()) if by_core else None
