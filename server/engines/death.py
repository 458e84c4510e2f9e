"""Say why an engine died: the first error in its log that is one, and what helps where the reason is known.

vLLM ends with "Engine core initialization failed. See root cause above": the cause stands some fifty lines higher, in
the words of a process of its own, and is followed by the errors that it led to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_PROCESS = re.compile(r"^(?:\([^()]*\bpid=\d+\) ?|\[rank\d+\]: ?)+")
_LEVEL = re.compile(r"^(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL):? [\d-]+ [\d:.,]+ \[[^\]]+\] ?")
_TORCH_TELLS = re.compile(r"^[IW]\d{4} [\d:.]+ +\d+ \S+\] ")
_WORKER = re.compile(r"^WorkerProc (?:hit an exception|failed to start)\.?$")
_ERROR = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception|SystemExit|Abort)(?:: .*)?$")
_LED_TO = re.compile(
    r"root cause|EngineDeadError|WorkerProc initialization failed|Engine process failed|CancelledError|"
    r"BrokenProcessPool|EngineCore (?:failed|died)"
)
_ENDS = re.compile(r"^(?:Traceback|Process |During handling|The above exception|EngineCore |\s*$)")
_MORE_LINES = 2
_LONGEST = 400

_REASONS: tuple[tuple[str, str], ...] = (
    (
        r"NVIDIA driver on your system is too old|driver version is insufficient for CUDA runtime",
        "this environment's CUDA wants a newer driver: install NVIDIA driver 580 or newer",
    ),
    (
        r"unsupported display driver / cuda driver|forward compatibility was attempted|Driver/library version mismatch",
        "the kernel's driver and CUDA's library do not go together, as after an update: restart the machine",
    ),
    (
        r"Found no NVIDIA driver|No CUDA GPUs are available|no CUDA-capable device|libcuda\.so\.1: cannot open",
        "the engine sees no board: look at nvidia-smi, CUDA_VISIBLE_DEVICES, and what the container was given",
    ),
    (
        r"'function' object has no attribute 'num_stages'",
        "Triton sees no board (vLLM 0.32 says it so): look at nvidia-smi, and what the container was given",
    ),
    (
        r"Free memory on device",
        "another process holds memory (nvidia-smi names it): end it, or lower engine.gpu_memory_utilization",
    ),
    (
        r"No available memory for the cache blocks|available KV cache memory|KV cache is needed",
        "too little is left for the KV cache: raise engine.gpu_memory_utilization or lower engine.max_model_len",
    ),
    (
        r"CUDA out of memory|CUDA error: out of memory|OutOfMemoryError",
        "lower engine.gpu_memory_utilization or engine.max_num_seqs, or end what else is on the board",
    ),
    (
        r"[Bb]float16 is only supported on GPUs",
        "this board has no bfloat16: serve fp16, or a format whose dtype is float16",
    ),
    (
        r"[Cc]ould not find nvcc|nvcc(?:: command)? not found|nvcc fatal|CUDA_HOME|ninja.*(?:non-zero|No such file)",
        "kernels are compiled at start: unset VLLM_USE_FLASHINFER_SAMPLER, or put a CUDA toolkit and ninja on PATH",
    ),
    (
        r"Python\.h: No such file|'Python\.h' (?:file )?not found",
        "Triton compiles against Python's headers: install python3-dev (python3.11-dev) of the Python that runs here",
    ),
    (
        r"Failed to find C compiler|InvalidCxxCompiler|No working C\+\+ compiler",
        "Triton and torch.compile take a C and a C++ compiler: install gcc and g++",
    ),
    (
        r"no kernel image is available|not compatible with the current PyTorch",
        "this environment has no code for the board's compute capability: serve on a board that docs/variants.md names",
    ),
    (
        r"Failed to find a kernel that can implement|No compiled cutlass_scaled_mm",
        "vLLM has no kernel for this format on this board: docs/variants.md says where it is served",
    ),
    (
        r"NCCL error|nccl(?:System|Internal|UnhandledCuda|Remote)Error|ncclUnhandled",
        "boards cannot reach each other: NCCL_DEBUG=INFO says why (in a container often /dev/shm: --shm-size 8g)",
    ),
    (
        r"ipc path .* is longer than|File name too long",
        "set TMPDIR to a folder with a shorter path, such as /tmp",
    ),
    (r"[Aa]ddress already in use", "something else took the port: choose another with --port"),
    (
        r"No space left on device|Disk quota exceeded",
        "a disk is full: free some, or set TMPDIR to another one",
    ),
    (r"Too many open files", "raise the limit of open files: ulimit -n 65536"),
    (
        r"SafetensorError|Error while deserializing header",
        "the checkpoint is damaged: `starwatt build --list` checks it",
    ),
    (
        r"must be divisible by|(?:is )?not divisible by",
        "the model cannot be split so: choose another engine.tensor_parallel",
    ),
    (
        r"illegal memory access|unspecified launch failure|uncorrectable ECC",
        "the board or a kernel failed (dmesg has the Xid): try again, and another board if it comes back",
    ),
    (r"ModuleNotFoundError|ImportError", "this environment is not whole: make setup"),
)
_KNOWN = tuple((re.compile(pattern), remedy) for pattern, remedy in _REASONS)


@dataclass(frozen=True)
class Death:
    """Hold what an engine died of."""

    error: str
    """Its own words, a few lines."""
    remedy: str | None
    """The remedy; None where the reason is not known here."""

    def __str__(self) -> str:
        shown = self.error.replace("\n", "\n  ")
        return shown if self.remedy is None else f"{shown}\n  What helps: {self.remedy}"


def why_it_died(log: Path) -> Death | None:
    """Return the first error of a known reason, else the first that no other led to; None where the log has none."""
    try:
        lines = _said(log.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    for number, line in enumerate(lines):
        for pattern, remedy in _KNOWN:
            if pattern.search(line) and not line.startswith((" ", "^")):
                return Death(_with_more(lines, number), remedy)
    for number, line in enumerate(lines):
        if _ERROR.match(line) and not _LED_TO.search(line):
            return Death(_with_more(lines, number), None)
    return None


def _said(text: str) -> list[str]:
    """Return the lines that tell of no ordinary course, without process, level, time and source file."""
    said = []
    for whole in text.splitlines():
        line = _PROCESS.sub("", whole)
        level = _LEVEL.match(line)
        if _TORCH_TELLS.match(line) or (level and level["level"] in ("DEBUG", "INFO", "WARNING")):
            continue
        line = line[level.end() :] if level else line
        if not _WORKER.match(line):
            said.append(line.rstrip())
    return said


def _with_more(lines: list[str], number: int) -> str:
    """Return a line and the few that go on with it."""
    kept = [lines[number][:_LONGEST]]
    for line in lines[number + 1 : number + 1 + _MORE_LINES]:
        if _ENDS.match(line) or _ERROR.match(line) or line in kept:
            break
        kept.append(line[:_LONGEST])
    return "\n".join(kept)
