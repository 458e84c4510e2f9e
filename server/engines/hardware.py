"""Know which formats this machine's hardware can serve before anything is built or started.

Where a format would be served by something else under its name (fp8 on an A100 becomes weight-only), it is refused
too: its joules would be another format's. The capabilities are those found by pushing every format through vLLM 0.32.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from configs.engine.arguments import with_arguments
from configs.schema import EngineSettings
from configs.variant import BitsAndBytes, Variant
from server.build.shape import Shape, pruned_shape
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
    cpu_units: frozenset[str] = frozenset()
    """As ``/proc/cpuinfo`` names them; empty where GPUs compute."""


_OLDEST = (7, 5)
"""The wheels of torch and vLLM have no code for what is older."""
_BFLOAT16 = (8, 0)
_FP8 = (8, 9)
_NO_INT8 = (10, 0)
"""From here on vLLM has no kernel for 8-bit integers times 8-bit integers, and notices only as it loads."""
_CPU_ATTENTION = "CPU_ATTN"
_NOT_ON_A_CPU = {
    "int8-w8a16": "vLLM has no CPU kernel for 8-bit weights with 16-bit activations",
}


@lru_cache(maxsize=1)
def this_machine() -> Machine:
    """Return the visible GPUs, asked once a process; none where ``STARWATT_TARGET`` says that the CPU is to serve.

    Raises:
        NvmlError: a driver is there, and does not answer.
        UsageError: ``STARWATT_TARGET`` says neither.
    """
    if told_target() == "cpu":
        return Machine((), _cpu_units())
    try:
        with opened():
            boards = []
            for place in choose().boards:
                capability = place.ask(pynvml.nvmlDeviceGetCudaComputeCapability)
                pair = None if capability is None else (int(capability[0]), int(capability[1]))
                boards.append(Board(place.name, pair))
            return Machine(tuple(boards))
    except NoDriverError:
        return Machine((), _cpu_units())


def _cpu_units() -> frozenset[str]:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, units = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(units.split())
    return frozenset()


def told_target() -> str | None:
    """Say what engines are to compute on, ``gpu`` or ``cpu``, as ``STARWATT_TARGET`` has it; None unless it is set."""
    told = os.environ.get("STARWATT_TARGET") or None
    if told not in (None, "gpu", "cpu"):
        raise UsageError(f"STARWATT_TARGET is gpu or cpu, not {told}")
    return told


def why_not(variant: Variant, settings: EngineSettings, machine: Machine) -> str | None:
    """Say why this machine cannot serve ``variant``, or None where nothing is known to be against it.

    Args:
        variant: what is to be served, with settings of its own.
        settings: those of all variants.
        machine: what computes here.
    """
    quantization, served = variant.quantization, with_arguments(settings, variant.engine_args)
    if served.boards > max(len(machine.gpus), 1):
        return f"{_sizes(served)}, and there are {len(machine.gpus)} GPUs"
    if not machine.gpus:
        return _NOT_ON_A_CPU.get(quantization.kind) or _not_its_setting(variant, machine)
    if served.tensor_parallel > 1 and isinstance(quantization, BitsAndBytes):
        return "vLLM cannot split a checkpoint that bitsandbytes quantised over GPUs (tensor_parallel)"
    for board in machine.gpus[: served.boards]:
        reason = None if board.capability is None else _lacks(board.capability, variant)
        if reason is not None:
            major, minor = board.capability or (0, 0)
            return f"{board.name} has compute capability {major}.{minor}; {variant.name} takes {reason}"
    return None


def cannot_be_shared(shape: Shape, variant: Variant, settings: EngineSettings) -> str | None:
    """Say why vLLM cannot serve a model on so many boards, or None where nothing is known against it."""
    served = with_arguments(settings, variant.engine_args)
    layers = pruned_shape(shape, variant).layers
    if served.pipeline_parallel > layers:
        return f"its {layers} layers cannot be shared by {served.pipeline_parallel} boards one after another"
    return cannot_be_split(shape, variant, served.tensor_parallel)


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
        if width % group:
            return (
                f"{width} weights a row are no whole groups of {group}: a variant's file takes a smaller group_size "
                f"({variant.name})"
            )
        if width % (boards * group):
            return f"{width} weights a row are no whole groups of {group} on each of {boards} boards ({variant.name})"
    return None


def takes_flashinfer(machine: Machine, settings: EngineSettings) -> bool:
    """Say whether vLLM would choose FlashInfer's attention: its kernels are compiled or fetched at start."""
    capabilities = [board.capability for board in machine.gpus[: settings.boards]]
    return any(capability is not None and capability[0] == 10 for capability in capabilities)


def attention_for(variant: Variant, settings: EngineSettings, machine: Machine) -> str | None:
    """Name the attention that vLLM is to be told to take; None where its own choice needs nothing compiled.

    Left alone it takes FlashInfer's at 10.x, and for a KV cache in fp8 everywhere but at 9.x, where FlashAttention
    reads such a cache.
    """
    if "attention_backend" in variant.engine_args or variant.dtype == "float32":
        return None
    capabilities = [board.capability for board in machine.gpus[: settings.boards]]
    if has_fp8_cache(variant) and any(
        capability is not None and capability[0] != 9 for capability in capabilities
    ):
        return "TRITON_ATTN"
    return "FLASH_ATTN" if takes_flashinfer(machine, settings) else None


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
    backend = variant.engine_args.get("attention_backend")
    if has_fp8_cache(variant) and capability < _FP8 and backend != "FLASHINFER":
        return "8.9 (fp8 units) for kv_cache_dtype: fp8; older boards have FlashInfer's kernels alone (+flashinfer)"
    return None


def _sizes(settings: EngineSettings) -> str:
    """Return the parallel sizes that are not 1, and what they take together."""
    fields = ("tensor_parallel", "pipeline_parallel", "data_parallel")
    sizes = [f"{name} is {getattr(settings, name)}" for name in fields if getattr(settings, name) > 1]
    return " and ".join(sizes) + (f" ({settings.boards} boards)" if len(sizes) > 1 else "")


def _not_its_setting(variant: Variant, machine: Machine) -> str | None:
    """Name a setting that a CPU does not have, or that vLLM would pass over in silence there."""
    if variant.engine_args.get("attention_backend", _CPU_ATTENTION) != _CPU_ATTENTION:
        return f"vLLM has one attention_backend on a CPU, {_CPU_ATTENTION}, and would take it all the same"
    if has_fp8_cache(variant) and not machine.cpu_units & {"avx512f", "amx_tile"}:
        return "kv_cache_dtype: fp8 takes a CPU with AVX-512 or AMX"
    return None


def has_fp8_cache(variant: Variant) -> bool:
    """Say whether keys and values are kept in eight bits."""
    return str(variant.engine_args.get("kv_cache_dtype", "")).startswith("fp8")
