"""An engine that dies says why: the first error of its core, and what helps.

The logs in deaths/ are such as people have shown in public, shortened and in words of our own.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from server.engines.death import why_it_died

DEATHS = Path(__file__).with_name("deaths")
KNOWN = {
    "driver": ("driver on your system is too old", "driver 580"),
    "driver-803": ("Error 803", "restart the machine"),
    "no-board": ("No CUDA GPUs are available", "nvidia-smi"),
    "no-board-for-triton": ("'function' object has no attribute 'num_stages'", "nvidia-smi"),
    "free-memory": ("Free memory on device cuda:0 (59.3/79.2 GiB)", "engine.gpu_memory_utilization"),
    "out-of-memory": ("Tried to allocate 96.00 MiB", "engine.max_num_seqs"),
    "cache": ("No available memory for the cache blocks", "engine.max_model_len"),
    "bfloat16": ("Your Tesla T4 GPU", "serve fp16"),
    "nvcc": ("Could not find nvcc", "VLLM_USE_FLASHINFER_SAMPLER"),
    "no-kernel-image": ("no kernel image is available", "docs/variants.md"),
    "no-int8-kernel": ("CutlassInt8ScaledMMLinearKernel requires", "docs/variants.md"),
    "zmq": ("is longer than 107 characters", "TMPDIR"),
    "disk": ("No space left on device", "a disk is full"),
    "nccl": ("NCCL error: unhandled system error", "--shm-size"),
    "python-h": ("fatal error: Python.h", "python3.11-dev"),
    "compiler": ("Failed to find C compiler", "gcc and g++"),
    "port": ("Address already in use", "--port"),
    "core-killed": ("{'EngineCore_DP0': -9} (SIGKILL)", "as memory runs out"),
    "worker-killed": ("VllmWorker-1 died unexpectedly (exit code: -7) (SIGBUS)", "--shm-size"),
    "shared-memory": ("No space left on device: '/psm_", "/dev/shm"),
    "cpu-memory": ("Available memory on node 0", "engine.cpu_kvcache_gib"),
    "threads": ("pthread_create failed", "ulimit -u"),
    "remote-code": ("Value error, The repository /models/x contains custom code", "trust_remote_code"),
    "too-long": ("User-specified max_model_len (32768)", "engine.max_model_len"),
    "architecture": ("does not recognize this architecture", "docs/variants.md"),
}
UNKNOWN = {
    "unknown": "AttributeError: 'Starcoder2Config' object has no attribute 'heads'",
    "worker-unknown": "KeyError: 'model.layers.0.qzeros'",
    "after-a-bad-request": "AssertionError: more tokens are computed than there are",
    "beside-warnings": "KeyError: 'model.layers.0.bias'",
}


def test_every_log_is_looked_at() -> None:
    assert {log.stem for log in DEATHS.glob("*.log")} == KNOWN.keys() | UNKNOWN.keys()


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_reason_is_named_in_a_few_lines_with_what_helps(name: str) -> None:
    words, remedy = KNOWN[name]
    death = why_it_died(DEATHS / f"{name}.log")
    assert death is not None
    assert words in death.error
    assert remedy in (death.remedy or "")
    assert "root cause" not in death.error
    assert len(str(death).splitlines()) <= 5
    assert "pid=" not in str(death)
    assert "input_value" not in str(death)


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_reason_is_the_first_error_and_not_what_it_led_to(name: str) -> None:
    death = why_it_died(DEATHS / f"{name}.log")
    assert death is not None
    assert (death.error, death.remedy) == (UNKNOWN[name], None)


def test_a_log_without_an_error_has_none_and_warnings_are_no_errors(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert why_it_died(log) is None
    log.write_text("loading\nWARNING 09-28 15:47:01 [cuda.py:90] CUDA out of memory is likely\n")
    assert why_it_died(log) is None
