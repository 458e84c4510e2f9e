"""How much memory engines take that stay loaded beside each other, and whether there is so much.

On boards each gets a share: its weights, a KV cache of as many tokens as every other's, and what any engine takes. On
the CPU the first engine that runs shows what one takes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import psutil

from server.build.shape import Shape, shape_of
from server.build.store import Checkpoint
from server.engines.engine_spec import EngineSpec, Share
from server.engines.hardware import has_fp8_cache
from server.process.free_memory import free_bytes
from starwatt_errors import EngineError, TraceError
from traces.atomic import read_json

GIB = 2**30
_OF_ANY_ENGINE = 4 * GIB
"""On each board, beside weights and KV cache: CUDA's context, activations, graphs."""
_HEADROOM = 0.05
"""Of the machine's memory, which stays free for the load generator, the sidecar and page caches."""
_BYTES_OF = {"float32": 4}
_SHORT = re.compile(
    r"out of memory|OutOfMemory|MemoryError|[Cc]an(?:not|'t) allocate memory|"
    r"Free memory on device|Available memory on node|No available memory for the cache blocks"
)


class NoRoomError(EngineError):
    """Engines do not fit beside each other; the message says by how much."""


def shared_boards(specs: Sequence[EngineSpec], tokens: int, board_bytes: int) -> list[EngineSpec]:
    """Give each engine its share of the boards.

    Args:
        specs: engines that are to be loaded at once, on the same boards.
        tokens: of each KV cache.
        board_bytes: memory of the smallest of these boards.

    Raises:
        NoRoomError: they do not fit, or a checkpoint does not say how large its KV cache is.
    """
    caches = [_kv_bytes(spec, tokens) for spec in specs]
    weights = [weights_bytes(spec.checkpoint) / _parts(spec) for spec in specs]
    each = [cache + weight + _OF_ANY_ENGINE for cache, weight in zip(caches, weights, strict=True)]
    room = board_bytes * min(spec.served.gpu_memory_utilization for spec in specs)
    if sum(each) > room:
        raise NoRoomError(
            f"{len(specs)} engines take {sum(each) / GIB:.0f} GiB of each board (weights, and {tokens} tokens of KV "
            f"cache each), and there is room for {room / GIB:.0f}: lower engine.max_model_len or engine.max_num_seqs"
        )
    return [
        replace(spec, share=Share(weights / board_bytes, cache))
        for spec, weights, cache in zip(specs, each, caches, strict=True)
    ]


def no_room_beside(running: EngineSpec, taken_bytes: int, others: Sequence[EngineSpec]) -> str | None:
    """Say why the others have no room in this machine's memory beside one that runs; None where they have.

    Args:
        running: the engine that runs.
        taken_bytes: what it takes, with its KV cache, which is zeroed at start and so has its pages already.
        others: those that are to be loaded too.
    """
    weights = weights_bytes(running.checkpoint)
    each = [taken_bytes - weights + weights_bytes(spec.checkpoint) for spec in others]
    free = free_bytes() - _HEADROOM * psutil.virtual_memory().total
    if sum(each) <= free:
        return None
    return (
        f"{len(others)} more engines take {sum(each) / GIB:.1f} GiB, and there is room for {max(free, 0) / GIB:.1f}: "
        "lower engine.cpu_kvcache_gib"
    )


def weights_bytes(checkpoint: Checkpoint) -> int:
    """Sum up its files of weights: what an engine loads, before it quantises any of it."""
    return sum(path.stat().st_size for path in checkpoint.path.glob("*.safetensors"))


def taken_bytes(pid: int) -> int:
    """Sum the memory of a process and its descendants, shared pages counted once (PSS); what has ended is 0."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            total += process.memory_full_info().pss
    except psutil.Error:
        return total
    return total


def looks_short(error: EngineError) -> bool:
    """Say whether an engine's death looks like one of too little memory."""
    return bool(_SHORT.search(str(error)))


def _kv_bytes(spec: EngineSpec, tokens: int) -> int:
    """Bytes on each board of a KV cache of so many tokens."""
    shape = _shape(spec.checkpoint)
    if shape is None or not shape.heads or not shape.kv_heads or not shape.inputs:
        raise NoRoomError(
            f"the configuration of {spec.variant.name} does not say how large its KV cache is, and so not whether "
            "engines fit beside each other"
        )
    of_head = shape.inputs[0] // shape.heads
    heads = max(shape.kv_heads // spec.served.tensor_parallel, 1)
    layers = -(-shape.layers // spec.served.pipeline_parallel)
    each = 1 if has_fp8_cache(spec.variant) else _BYTES_OF.get(spec.variant.dtype, 2)
    return 2 * layers * heads * of_head * each * tokens


def _parts(spec: EngineSpec) -> int:
    """Boards that hold a part of the weights each; those of data parallelism hold them all."""
    return spec.served.tensor_parallel * spec.served.pipeline_parallel


def _shape(checkpoint: Checkpoint) -> Shape | None:
    try:
        return shape_of(read_json(checkpoint.path / "config.json"))
    except TraceError:
        return None
