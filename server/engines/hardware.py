"""Which formats this machine's hardware can serve, known before anything is built or started.

Where a format would be served by something else under its name (fp8 on an A100 becomes weight-only), it is refused
too: its joules would be another format's. Minimal capabilities are those of vLLM 0.32's own quantisation classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from configs.schema import EngineSettings
from configs.variant import BitsAndBytes, NoQuantization, Variant
from server.power.binding import pynvml
from server.power.choice import choose
from server.power.library import NoDriverError, opened
from starwatt_errors import UsageError


@dataclass(frozen=True)
class Board:
    """One GPU: its name and compute capability, (8, 0) for an A100; None where the driver does not say."""

    name: str
    capability: tuple[int, int] | None


@dataclass(frozen=True)
class Machine:
    """What can compute here; without GPUs the CPU does."""

    gpus: tuple[Board, ...]


_NEEDS: dict[str, tuple[tuple[int, int], str]] = {
    "bfloat16": ((8, 0), "bfloat16 units"),
    "bitsandbytes": ((7, 0), "what bitsandbytes' kernels need"),
    "awq": ((7, 5), "what the 4-bit kernels (Marlin, Machete) need"),
    "gptq": ((7, 5), "what the 4-bit kernels (Marlin, Machete) need"),
    "int8-w8a16": ((7, 5), "what the weight-only kernels (Marlin, Machete) need"),
    "int8-w8a8": ((7, 5), "int8 matrix units"),
    "fp8": ((8, 9), "fp8 matrix units: vLLM would quantise the weights alone and call it fp8"),
}
_NOT_ON_A_CPU = {
    "int8-w8a16": "vLLM has no CPU kernel for 8-bit weights with 16-bit activations",
}


@lru_cache(maxsize=1)
def this_machine() -> Machine:
    """The visible GPUs, asked once a process."""
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


def why_not(variant: Variant, settings: EngineSettings, machine: Machine) -> str | None:
    """Why this machine cannot serve ``variant``, or None where nothing is known to be against it."""
    quantization = variant.quantization
    if settings.tensor_parallel > max(len(machine.gpus), 1):
        return f"tensor_parallel is {settings.tensor_parallel}, and there are {len(machine.gpus)} GPUs"
    if not machine.gpus:
        return _NOT_ON_A_CPU.get(quantization.kind)
    if settings.tensor_parallel > 1 and isinstance(quantization, BitsAndBytes):
        return "vLLM cannot split a checkpoint that bitsandbytes quantised over GPUs (tensor_parallel)"
    if isinstance(quantization, NoQuantization):
        needs = _NEEDS.get(quantization.dtype)
    else:
        needs = _NEEDS.get(quantization.kind)
    for board in machine.gpus[: settings.tensor_parallel]:
        if needs and board.capability is not None and board.capability < needs[0]:
            (major, minor), what = needs
            has = f"{board.capability[0]}.{board.capability[1]}"
            return f"{board.name} has compute capability {has}; {variant.name} takes {major}.{minor} ({what})"
    return None


def refuse_what_cannot_be_served(variants: tuple[Variant, ...], settings: EngineSettings) -> None:
    """Raise UsageError with every variant that this machine cannot serve, each with its reason."""
    machine = this_machine()
    reasons = {variant.name: why_not(variant, settings, machine) for variant in variants}
    refused = [f"{name}: {reason}" for name, reason in reasons.items() if reason]
    if refused:
        raise UsageError("this machine cannot serve " + "\n  ".join(refused))
