"""Refuse what this machine, or what is installed on it, cannot serve, before anything is built or started."""

from __future__ import annotations

from pathlib import Path

from configs.schema import EngineSettings
from configs.variant import Variant
from server.build.shape import Shape
from server.build.store import Checkpoint
from server.engines.engine_spec import EngineSpec
from server.engines.hardware import cannot_be_shared, this_machine, why_not
from server.engines.toolchain import check_environment
from server.engines.vllm import check_own_arguments, look_at_arguments
from starwatt_errors import UsageError


def refuse_what_cannot_be_served(
    variants: tuple[Variant, ...], settings: EngineSettings, shape: Shape | None = None
) -> None:
    """Let pass what can be served here; ``shape`` is the model's, where it is known.

    Raises:
        EngineError: the environment does not go with the boards or the driver.
        UsageError: this machine cannot serve some of them, or vLLM does not take their arguments; each is named with
            its reason.
    """
    if not variants:
        return
    check_environment()
    machine = this_machine()
    reasons = {
        variant.name: why_not(variant, settings, machine)
        or (cannot_be_shared(shape, variant, settings) if shape else None)
        for variant in variants
    }
    refused = [f"{name}: {reason}" for name, reason in reasons.items() if reason]
    if refused:
        raise UsageError("this machine cannot serve " + "\n  ".join(refused))
    nothing_yet = Checkpoint(Path(), "", memorised=False)
    specs = [EngineSpec("model", variant, nothing_yet, settings, port=0) for variant in variants]
    look_at_arguments(specs)
    for spec in specs:
        check_own_arguments(spec)
