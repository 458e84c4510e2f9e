"""Check that the engines of a study fit beside each other into the memory that they share."""

from __future__ import annotations

from collections.abc import Sequence

from configs.schema import EngineSettings, Study
from server.engines.boards import Allotment
from server.engines.engine import Engine
from server.engines.engine_spec import EngineSpec
from server.engines.hardware import this_machine
from server.engines.memory import NoRoomError, no_room_beside, shared_boards, taken_bytes
from server.engines.toolchain import computes_on_the_cpu
from server.power.nvidia.inventory import gpu_inventory
from study.plan.reckoning import in_flight

_KV_BLOCK = 16
"""Tokens that vLLM gives a sequence at a time."""


def on_boards() -> bool:
    """Say whether engines that are started here compute on boards; raises as ``this_machine``."""
    return bool(this_machine().gpus) and not computes_on_the_cpu()


def with_shares(
    study: Study, allotments: Sequence[Allotment], specs: Sequence[EngineSpec]
) -> list[EngineSpec]:
    """Give each engine its share of its boards; the first of these are everybody's.

    Raises:
        NoRoomError: they do not fit, or nothing says whether they do.
    """
    tokens = max(kv_tokens(study, spec.served) for spec in specs)
    sizes = [
        _board_bytes(allotment, spec.served.boards) for allotment, spec in zip(allotments, specs, strict=True)
    ]
    return shared_boards(specs, tokens, min(sizes))


def refuse_without_room(running: Engine, others: Sequence[EngineSpec]) -> None:
    """See that this machine's memory holds the others beside one that runs.

    Raises:
        NoRoomError: it does not.
    """
    words = no_room_beside(running.spec, taken_bytes(running.process.pid), others)
    if words is not None:
        raise NoRoomError(words)


def kv_tokens(study: Study, settings: EngineSettings) -> int:
    """Return the tokens of a KV cache in which all that a load keeps in flight has room, each as long as it may be."""
    most = settings.max_num_seqs
    every = [*study.loads, *(load for load, _ in study.probe_loads)]
    together = max(in_flight(load, most) for load in every)
    blocks = -(-settings.max_model_len // _KV_BLOCK) * together + 1  # vLLM keeps one for itself
    return blocks * _KV_BLOCK


def _board_bytes(allotment: Allotment, count: int) -> int:
    """Return the memory of the smallest of the boards that an engine gets."""
    chosen = allotment.meters.gpus  # none of them where none is to be metered
    ours = [board for board in gpu_inventory() if not chosen or board.uuid in chosen][:count]
    sizes = [board.memory_mib for board in ours if board.memory_mib is not None]
    if len(sizes) < len(ours) or not sizes:
        raise NoRoomError("a board does not say how much memory it has")
    return min(sizes) * 2**20
