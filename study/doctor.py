"""``starwatt doctor``: what this machine can do, and the remedy for what it can't."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from analysis.grading import sandbox_status
from configs.datasets import human_eval_plus_file, load_dataset
from loadgen.wire.build import library
from server.power.inventory import gpu_inventory
from server.power.meters import available_sources, why_no_rapl
from server.store import store_root
from starwatt_errors import LoadError, StarwattError
from study.surroundings import Finding, clocks, engine, gpu_power, gpus_in_use

_LITTLE_DISK_GIB = 20.0


def examine() -> list[Finding]:
    """All findings, in the order a new user meets them."""
    checks: list[Callable[[], Finding]] = [
        _gpus,
        gpus_in_use,
        gpu_power,
        _meters,
        clocks,
        engine,
        _load,
        _sandbox,
        _bundled,
        _humaneval,
        _disk,
    ]
    findings = []
    for check in checks:
        try:
            findings.append(check())
        except StarwattError as error:
            findings.append(Finding(check.__name__.strip("_"), "failed", str(error)))
    return findings


def _gpus() -> Finding:
    gpus = gpu_inventory()
    if not gpus:
        return Finding(
            "GPUs", "missing", "no NVIDIA driver answers", "the CPU engine serves; power is then an estimate"
        )
    boards = ", ".join(f"{gpu.name} ({gpu.uuid}, driver {gpu.driver})" for gpu in gpus)
    if any(gpu.mig for gpu in gpus):
        return Finding(
            "GPUs", "failed", f"{boards}; MIG is on", "power is the whole board's: switch MIG off to measure"
        )
    return Finding("GPUs", "ok", boards)


def _meters() -> Finding:
    found = available_sources()
    if found:
        return Finding("meters", "ok", "; ".join(f"{source}: {what}" for source, what in found.items()))
    remedy = why_no_rapl() or ""
    return Finding("meters", "missing", "none: power is modelled (CPU time x watts), an estimate", remedy)


def _load() -> Finding:
    try:
        library()
    except LoadError as error:
        return Finding(
            "load client",
            "missing",
            f"httptools, on the event loop: {error}",
            "a C compiler makes it more punctual",
        )
    return Finding("load client", "ok", "wire: sent and timed outside Python; httptools for https")


def _sandbox() -> Finding:
    status = sandbox_status()
    detail = f"bubblewrap holds; {status.note}" if status.ok else status.reason
    return Finding("sandbox", "ok" if status.ok else "failed", detail, status.remedy)


def _bundled() -> Finding:
    dataset = load_dataset("starwatt-24")
    return Finding("starwatt-24", "ok", f"{len(dataset.tasks)} tasks, sha256 {dataset.sha256[:12]}…")


def _humaneval() -> Finding:
    if human_eval_plus_file() is None:
        return Finding(
            "humaneval+",
            "missing",
            "evalplus fetches it when it is first used",
            "without a network: HUMANEVAL_OVERRIDE_PATH=HumanEvalPlus.jsonl.gz",
        )
    dataset = load_dataset("humaneval+")
    return Finding("humaneval+", "ok", f"{len(dataset.tasks)} tasks, sha256 {dataset.sha256[:12]}…")


def _disk() -> Finding:
    root = store_root()
    existing = next(path for path in (root, *root.parents) if path.exists())
    free_gib = shutil.disk_usage(existing).free / 2**30
    state = "ok" if free_gib >= _LITTLE_DISK_GIB else "failed"
    remedy = "" if state == "ok" else "set STARWATT_STORE to a folder on a larger disk"
    return Finding("disk", state, f"{free_gib:.0f} GiB free for checkpoints in {root}", remedy)
