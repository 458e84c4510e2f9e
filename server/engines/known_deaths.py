"""Known reasons of which engines die, by their own words or by the signal that ended them, and what helps."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass

_SHARED_MEMORY = "shared memory is full: free /dev/shm, or give the container more (--shm-size 8g)"
_COMPILED = "kernels are compiled at start: unset VLLM_USE_FLASHINFER_SAMPLER, or put a CUDA toolkit and ninja on PATH"
_ENDED_BY = re.compile(
    r"[Ff]ailed (?:core|frontend) proc\(s\): \{[^}]*: -(?P<core>\d+)\b.*|"
    r"\S+(?: \(PID: \d+\))? died (?:unexpectedly \(exit code: |with exit code )-(?P<process>\d+)\b\)?"
)
"""vLLM's words for a process of its own that a signal ended: it could not say anything itself."""
_OF_SIGNALS: dict[int, str] = {
    signal.SIGKILL: "most often the kernel kills it as memory runs out, the machine's or the container's (dmesg says "
    "so): free some, or lower engine.cpu_kvcache_gib",
    signal.SIGBUS: _SHARED_MEMORY,
    signal.SIGILL: "this CPU lacks instructions that vLLM or torch was built for: serve on a newer one",
}

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
        r"No available memory for the cache blocks|available KV cache memory|KV cache is needed|stored in KV cache",
        "too little is left for the KV cache: raise engine.gpu_memory_utilization or lower engine.max_model_len",
    ),
    (
        r"Available memory on node",
        "other programs hold the machine's memory: end them, or lower engine.cpu_kvcache_gib",
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
        r"[Cc]ould not find nvcc|nvcc(?:: command)? not found|nvcc fatal|ninja.*(?:non-zero|No such file)",
        _COMPILED,
    ),
    (r"(?<!using )CUDA_HOME", _COMPILED),
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
        r"No space left on device.*(?:/dev/shm|'/?(?:psm_|sem\.|nccl-))|[Uu]nable to allocate shared memory|^Bus error",
        _SHARED_MEMORY,
    ),
    (
        r"No space left on device|Disk quota exceeded",
        "a disk is full: free some, or set TMPDIR to another one",
    ),
    (r"Too many open files", "raise the limit of open files: ulimit -n 65536"),
    (
        r"can't start new thread|pthread_create failed",
        "raise the limit of processes and threads: ulimit -u (of a container: --pids-limit)",
    ),
    (
        r"contains custom code which must be executed|requires you to execute the configuration file",
        "a variant with trust_remote_code: true runs the code that the model brings",
    ),
    (
        r"User-specified max_model_len .* is greater than",
        "lower engine.max_model_len to what the model was made for",
    ),
    (
        r"does not recognize this architecture|Model architectures? .* (?:is|are) not supported",
        "this vLLM does not know the model: take another one (docs/variants.md names those that were tried)",
    ),
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
class Known:
    """Hold a reason that is known."""

    words: str
    remedy: str | None
    """What helps; None where that is not known."""


def known_by_words(line: str) -> Known | None:
    """Return the reason that a line of a log tells; None where it tells none that is known."""
    return next((Known(line, remedy) for pattern, remedy in _KNOWN if pattern.search(line)), None)


def known_by_signal(line: str) -> Known | None:
    """Return the signal that a line of a log names for the end of one of the engine's processes; None of others."""
    ended = _ENDED_BY.search(line)
    if ended is None:
        return None
    number = int(ended["core"] or ended["process"])
    return Known(f"{ended[0]} ({signal_name(number)})", remedy_of_signal(number))


def remedy_of_signal(number: int) -> str | None:
    """Say what helps where a signal ended a process; None where nothing is known."""
    return _OF_SIGNALS.get(number)


def signal_name(number: int) -> str:
    """Return the name of a signal, such as ``SIGKILL``."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
