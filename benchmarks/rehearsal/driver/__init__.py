"""A driver of boards that are only said to be there: an NVML that names them, and a libcuda that links and has none."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

_NVML = Path(__file__).with_name("nvml.c")
_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_CALL = re.compile(r"^\s+U (cu[A-Z]\w*)$", re.MULTILINE)
_CC = ("cc", "-O2", "-Wall", "-shared", "-fPIC")
MOST_BOARDS = 8


def build(folder: Path, site_packages: Path) -> Path:
    """Compile both libraries into ``folder`` (needs cc and nm), libcuda with every call that vLLM's own ones link.

    Raises:
        subprocess.CalledProcessError: the compiler or nm failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    libraries = sorted((site_packages / "vllm").rglob("*.so"))
    linked = subprocess.run(
        ["nm", "-D", "--undefined-only", *map(str, libraries)],  # noqa: S607
        check=True, capture_output=True, text=True, timeout=120,
    ).stdout  # fmt: skip
    calls = sorted(set(_CALL.findall(linked)) | {"cuInit"})
    source = folder / "cuda.c"
    source.write_text("".join(f"int {call}(void) {{ return {_NO_DEVICE}; }}\n" for call in calls))
    for name, code in (("libcuda.so.1", source), ("libnvidia-ml.so.1", _NVML)):
        command = [*_CC, f"-Wl,-soname,{name}", "-o", str(folder / name), str(code)]
        subprocess.run(command, check=True, timeout=60)
    return folder


def environment(folder: Path, capability: str, boards: int = MOST_BOARDS) -> Mapping[str, str]:
    """What shows a process so many boards of a compute capability such as ``9.0``."""
    paths = [str(folder), os.environ.get("LD_LIBRARY_PATH", "")]
    return {
        "LD_LIBRARY_PATH": ":".join(filter(None, paths)),
        "REHEARSED_CAPABILITY": capability,
        "REHEARSED_BOARDS": str(boards),
        # From 10.0 on vLLM would ask a server for kernels: nobody listens there.
        "FLASHINFER_CUBINS_REPOSITORY": "http://127.0.0.1:9/",
    }
