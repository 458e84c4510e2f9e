"""Know which formats this machine's hardware can serve before anything is built or started.

Where a format would be served by something else under its name (fp8 on an A100 becomes weight-only), it is refused
too: its joules would be another format's. The capabilities are those found by pushing every format through vLLM 0.32.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache

from configs.schema import EngineSettings
from configs.variant import BitsAndBytes, Variant
from server.build.shape import Shape
from server.power.nvidia.binding import pynvml
from server.power.nvidia.choice import choose
from server.power.nvidia.library import NoDriverError, opened
from starwatt_errors import UsageError


@dataclass(frozen=True)
class Board:
    """One GPU: its name and compute capability, (8, 0) for an A100; None where the driver does not say."""

    name: str
    capability: tuple[int, int] | None


@dataclass(frozen=True)
class Machine:
    """Describe what can compute here; without GPUs the CPU does."""

    gpus: tuple[Board, ...]


_OLDEST = (7, 5)
"""The wheels of torch and vLLM have no code for what is older."""
_BFLOAT16 = (8, 0)
_FP8 = (8, 9)
_NO_INT8 = (10, 0)
"""From here on vLLM has no kernel for 8-bit integers times 8-bit integers, and notices only as it loads."""
_NOT_ON_A_CPU = {
    "int8-w8a16": "vLLM has no CPU kernel for 8-bit weights with 16-bit activations",
}


@lru_cache(maxsize=1)
def this_machine() -> Machine:
    """The visible GPUs, asked once a process; none where ``STARWATT_TARGET`` says that the CPU is to serve.

    Raises:
        NvmlError: a driver is there, and does not answer.
        UsageError: ``STARWATT_TARGET`` says neither.
    """
    if told_target() == "cpu":
        return Machine(())
    try:
        with opened():
            boards = []
            for place in choose().boards:
                capability = place.ask(pynvml.nvmlDeviceGetCudaComputeCapability)
                pair = None if capability is None else (int(capability[0]), int(capability[1]))
                boards.append(Board(place.name, pair))
            return Machine(tuple(boards))
    except NoDriverError:
        return Machine(())


def told_target() -> str | None:
    """Say what engines are to compute on, ``gpu`` or ``cpu``, as ``STARWATT_TARGET`` has it; None unless it is set."""
    told = os.environ.get("STARWATT_TARGET") or None
    if told not in (None, "gpu", "cpu"):
        raise UsageError(f"STARWATT_TARGET is gpu or cpu, not {told}")
    return told


def why_not(variant: Variant, settings: EngineSettings, machine: Machine) -> str | None:
    """Say why this machine cannot serve ``variant``, or None where nothing is known to be against it."""
    quantization = variant.quantization
    if settings.tensor_parallel > max(len(machine.gpus), 1):
        return f"tensor_parallel is {settings.tensor_parallel}, and there are {len(machine.gpus)} GPUs"
    if not machine.gpus:
        return _NOT_ON_A_CPU.get(quantization.kind)
    if settings.tensor_parallel > 1 and isinstance(quantization, BitsAndBytes):
        return "vLLM cannot split a checkpoint that bitsandbytes quantised over GPUs (tensor_parallel)"
    for board in machine.gpus[: settings.tensor_parallel]:
        reason = None if board.capability is None else _lacks(board.capability, variant)
        if reason is not None:
            major, minor = board.capability or (0, 0)
            return f"{board.name} has compute capability {major}.{minor}; {variant.name} takes {reason}"
    return None


def cannot_be_split(shape: Shape, variant: Variant, boards: int) -> str | None:
    """Say why vLLM cannot share a model's layers among so many boards, or None where nothing is known against it."""
    if shape.heads is not None and shape.heads % boards:
        return f"its {shape.heads} attention heads cannot be shared by {boards} boards"
    if shape.kv_heads is not None and shape.kv_heads % boards and boards % shape.kv_heads:
        return f"its {shape.kv_heads} KV heads can neither be shared by {boards} boards nor copied to them evenly"
    group = getattr(variant.quantization, "group_size", shape.group)
    if group is None:
        return None
    for width in shape.inputs:
        if width % (boards * group):
            return f"{width} weights a row are no whole groups of {group} on each of {boards} boards ({variant.name})"
    return None


def takes_flashinfer(machine: Machine, settings: EngineSettings) -> bool:
    """Say whether vLLM would choose FlashInfer's attention: its kernels are compiled or fetched at start."""
    capabilities = [board.capability for board in machine.gpus[: settings.tensor_parallel]]
    return any(capability is not None and capability[0] == 10 for capability in capabilities)


def _lacks(capability: tuple[int, int], variant: Variant) -> str | None:
    """Name what a variant needs that boards of this capability lack; None where they lack nothing."""
    if capability < _OLDEST:
        return "7.5: torch and vLLM have no code for older boards"
    kind = variant.quantization.kind
    if kind == "fp8" and capability < _FP8:
        return "8.9 (fp8 matrix units: vLLM would quantise the weights alone and call it fp8)"
    if variant.dtype == "bfloat16" and capability < _BFLOAT16:
        return "8.0 (bfloat16 units): serve fp16, or bitsandbytes with dtype: float16"
    if kind == "int8-w8a8" and capability >= _NO_INT8:
        return "less than 10.0: vLLM has no int8 kernel for newer boards; serve fp8"
    return None
