"""Whether engines fit beside each other, and what each of them gets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from configs.loader import load_variant
from configs.schema import EngineSettings
from server.build.store import Checkpoint
from server.engines import memory
from server.engines.engine_spec import EngineSpec
from server.engines.memory import (
    GIB,
    NoRoomError,
    looks_short,
    no_room_beside,
    shared_boards,
    taken_bytes,
    weights_bytes,
)
from server.engines.vllm import vllm_command
from starwatt_errors import EngineError
from tests.support.busy import PATIENCE_S

CONFIG = {
    "model_type": "starcoder2", "hidden_size": 3072, "num_hidden_layers": 30, "intermediate_size": 12288,
    "vocab_size": 49152, "num_attention_heads": 24, "num_key_value_heads": 2,
}  # fmt: skip
A_TOKEN = 2 * 30 * 2 * 128 * 2
"""Bytes of a token's keys and values in 16 bits: starcoder2-3b."""


def spec(folder: Path, variant: str = "bf16", *, gib: int = 6, **more: Any) -> EngineSpec:
    path = folder / f"{variant}-{more}"
    path.mkdir()
    (path / "config.json").write_text(json.dumps({**CONFIG, **more.pop("config", {})}))
    with (path / "model.safetensors").open("wb") as file:
        file.truncate(gib * GIB)  # of holes
    settings = EngineSettings(**more)
    return EngineSpec("m", load_variant(variant), Checkpoint(path, "d", memorised=False), settings, port=1)


def test_each_engine_gets_its_weights_and_a_cache_of_as_many_tokens(tmp_path: Path) -> None:
    pruned = spec(tmp_path, "pruned-last-2", gib=5, config={"num_hidden_layers": 28})
    wanted = [spec(tmp_path), spec(tmp_path, "fp32", gib=12), pruned, spec(tmp_path, "bf16+kv-fp8")]
    shared = shared_boards(wanted, 65536, 80 * GIB)
    caches = [engine.share.kv_cache_bytes for engine in shared if engine.share]
    cache = 65536 * A_TOKEN
    assert caches == [cache, 2 * cache, cache * 28 // 30, cache // 2]
    taken = [engine.share.utilization * 80 for engine in shared if engine.share]
    of_cache = 2 * 0.9375
    assert taken == pytest.approx(
        [6 + of_cache + 4, 12 + 2 * of_cache + 4, 5 + 2 * 0.875 + 4, 6 + of_cache / 2 + 4], abs=0.2
    )
    command = vllm_command(shared[0])
    assert command[command.index("--kv-cache-memory-bytes") + 1] == str(caches[0])
    assert float(command[command.index("--gpu-memory-utilization") + 1]) == pytest.approx(
        taken[0] / 80, abs=1e-4
    )
    assert "--kv-cache-memory-bytes" not in vllm_command(wanted[0])


def test_boards_that_share_a_model_hold_a_part_of_it_each(tmp_path: Path) -> None:
    [single] = shared_boards([spec(tmp_path, tensor_parallel=2)], 65536, 80 * GIB)
    assert single.share is not None
    assert single.share.kv_cache_bytes == 65536 * A_TOKEN // 2
    assert single.share.utilization * 80 == pytest.approx(3 + 0.94 + 4, abs=0.1)


def test_engines_that_do_not_fit_are_refused_with_what_would_help(tmp_path: Path) -> None:
    wanted = [spec(tmp_path), spec(tmp_path, "fp16")]
    with pytest.raises(NoRoomError, match=r"2 engines take 24 GiB.*room for 22.*engine\.max_model_len"):
        shared_boards(wanted, 65536, 24 * GIB)


def test_where_a_configuration_does_not_say_how_large_a_cache_is_nothing_is_guessed(tmp_path: Path) -> None:
    with pytest.raises(NoRoomError, match="does not say how large its KV cache is"):
        shared_boards([spec(tmp_path, config={"num_attention_heads": None})], 65536, 80 * GIB)


@pytest.mark.parametrize(("free_gib", "fits"), [(40, True), (12, False)])
def test_on_the_cpu_one_that_runs_shows_what_the_others_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_gib: int, *, fits: bool
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: free_gib * GIB)
    running = spec(tmp_path, gib=2)
    words = no_room_beside(running, 5 * GIB, [spec(tmp_path, "fp16", gib=2), spec(tmp_path, "fp32", gib=4)])
    assert (words is None) == fits
    if words is not None:
        assert "2 more engines take" in words
        assert "engine.cpu_kvcache_gib" in words


def test_what_a_process_takes_is_counted_with_its_children() -> None:
    code = "import sys; print('up', flush=True); held = bytearray(64 * 2**20); sys.stdin.readline()"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}], check=True)"
    with subprocess.Popen(
        [sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        most = 0
        while most < 64 * 2**20:
            most = taken_bytes(process.pid)
        process.communicate(b"\n", timeout=PATIENCE_S)
    assert taken_bytes(process.pid) == 0
    assert taken_bytes(os.getpid()) > 0


def test_weights_are_the_checkpoints_files(tmp_path: Path) -> None:
    assert weights_bytes(spec(tmp_path, gib=3).checkpoint) == 3 * GIB


@pytest.mark.parametrize(
    ("said", "short"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", True),
        ("ValueError: Free memory on device cuda:0 (3.1/79.1 GiB) on startup is less than desired", True),
        (
            "ValueError: Available memory on node 0 (0.5/15.2 GiB) on kv cache allocation is less than requested",
            True,
        ),
        (
            "RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate",
            True,
        ),
        ("KeyError: 'lm_head.weight'", False),
    ],
)
def test_deaths_of_too_little_memory_are_told_from_others(said: str, *, short: bool) -> None:
    assert looks_short(EngineError(f"the engine died while it was loading (exit code 1); {said}")) == short
