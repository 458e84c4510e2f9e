"""Examine what this machine can do, with the remedy for what it can't: ``starwatt doctor``."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from analysis.grading import sandbox_status
from configs.datasets import DATASETS, EVALPLUS_FILES, load_dataset
from loadgen.wire.build import library
from loadgen.wire.tls import openssl
from server.build.store import store_root
from server.power.meters import available_sources, boards_left_out
from server.power.nvidia.binding import BindingError
from server.power.nvidia.inventory import gpu_inventory, hidden_gpus, silent_gpus
from starwatt_errors import LoadError, StarwattError
from study.doctor.environment import (
    amd_gpus,
    boards_as_found,
    clocks,
    compilers,
    engine,
    engine_on_boards,
    gpu_power,
    gpus_in_use,
    rapl,
)
from study.doctor.findings import Finding, failed, missing, ok
from study.plan.preparation import existing_part

_CHECKPOINTS_GIB = 20.0
_RUNS_GIB = 2.0  # a cell takes a few MiB


@dataclass(frozen=True)
class _Room:
    """A folder that is written to, whether it is there yet or not."""

    what: str
    folder: Path
    wanted_gib: float
    remedy: str

    @property
    def device(self) -> int:
        """Return the file system's number."""
        return existing_part(self.folder).stat().st_dev

    @property
    def free_gib(self) -> float:
        """Return what this user may still write."""
        return shutil.disk_usage(existing_part(self.folder)).free / 2**30


def examine() -> list[Finding]:
    """Examine this machine and return all findings, in the order in which a new user meets them."""
    checks: dict[str, Callable[[], Finding]] = {
        "GPUs": _gpus, "GPUs in use": gpus_in_use, "full power": gpu_power, "boards as found": boards_as_found,
        "AMD GPUs": amd_gpus, "meters": _meters, "RAPL": rapl, "CPU clocks": clocks, "engine": engine,
        "engine on boards": engine_on_boards, "compilers": compilers, "load client": load_client,
        "sandbox": _sandbox, **{name: partial(_dataset, name) for name in DATASETS}, "disk": _disk,
    }  # fmt: skip
    findings: list[Finding] = []
    for name, check in checks.items():
        findings.append(_finding(name, check, findings))
    return findings


def _finding(name: str, check: Callable[[], Finding], before: Sequence[Finding]) -> Finding:
    """Return what a check finds, or how it failed: no failure of one keeps the others from being told."""
    try:
        found = check()
        return replace(found, what=found.what or name)
    except BindingError as error:
        finding = failed(error.why, error.remedy)
    except StarwattError as error:
        finding = failed(str(error), "mend what it names, then ask again")
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- becomes a finding
        words = f"{type(error).__name__}: {error}".strip(": ")
        finding = failed(f"could not be looked at: {words}", "report this, with the words beside it")
    same = [earlier.what for earlier in before if earlier.detail == finding.detail]
    if same:
        finding = failed(f"not known: see {same[0]}", f"mend {same[0]}")
    return replace(finding, what=name)


def _gpus() -> Finding:
    gpus = gpu_inventory()
    if not gpus and (hidden := hidden_gpus()):
        shown = os.environ.get("CUDA_VISIBLE_DEVICES")
        return Finding(
            "GPUs", "missing", f"none of {hidden} is visible: CUDA_VISIBLE_DEVICES is {shown!r}",
            "unset it, or name boards in it; as it is the CPU engine serves, and power is then an estimate",
        )  # fmt: skip
    if not gpus:
        return missing("no NVIDIA driver answers", "the CPU engine serves; power is then an estimate")
    boards = ", ".join(f"{gpu.name} ({gpu.uuid}, driver {gpu.driver})" for gpu in gpus)
    if silent := silent_gpus():
        return failed(
            f"{boards}; without an answer: {'; '.join(silent)}",
            "mend that board, or name the others in CUDA_VISIBLE_DEVICES",
        )
    if any(gpu.mig for gpu in gpus):
        return failed(f"{boards}; MIG is on", "power is the whole board's: switch MIG off to measure")
    return ok(boards)


def _meters() -> Finding:
    sources = available_sources()
    words = "; ".join(f"{source}: {what}" for source, what in sources.items())
    if left_out := boards_left_out():
        return missing(
            words or f"{'; '.join(left_out)}: power is modelled (CPU time x watts), an estimate",
            "serve on boards that are measured: name them in CUDA_VISIBLE_DEVICES; or add a wall meter's log "
            "(meters: external:)",
        )
    if sources:
        return ok(words)
    return missing(
        "none: power is modelled (CPU time x watts), an estimate",
        "an NVIDIA GPU or RAPL is measured; a wall meter's log too, where meters: external: names it",
    )


def load_client() -> Finding:
    """Say how punctually requests are sent and timed here."""
    try:
        library()
    except LoadError as error:
        return missing(f"httptools, on the event loop: {error}", "a C compiler makes it more punctual")
    try:
        openssl()
    except LoadError as error:
        return missing(
            f"wire: sent and timed outside Python; https on the event loop: {error}",
            "OpenSSL makes https as punctual (Debian: libssl3)",
        )
    return ok("wire: http and https are sent and timed outside Python")


def _sandbox() -> Finding:
    status = sandbox_status()
    detail = f"bubblewrap holds; {status.note}" if status.ok else status.reason
    return Finding("sandbox", "ok" if status.ok else "failed", detail, status.remedy)


def _dataset(name: str) -> Finding:
    source = EVALPLUS_FILES.get(name)  # None of the one that is bundled
    if source is not None and source.find() is None:
        return missing(
            "not here yet: evalplus fetches it when it is first used",
            f"without a network: {source.override}={source.file_name}",
        )
    dataset = load_dataset(name)
    return ok(f"{len(dataset.tasks)} tasks, sha256 {dataset.sha256[:12]}…", what=dataset.name)


def _disk() -> Finding:
    """Say how much room checkpoints and runs have; one figure where both are on one file system."""
    places = [
        _Room(
            "checkpoints", store_root(), _CHECKPOINTS_GIB, "set STARWATT_STORE to a folder on a larger disk"
        ),
        _Room("runs", Path("runs").absolute(), _RUNS_GIB, "measure into a larger disk with --out"),
    ]
    if places[0].device == places[1].device:
        places = [replace(places[0], what="checkpoints and runs")]
    small = [place.remedy for place in places if place.free_gib < place.wanted_gib]
    detail = "; ".join(
        f"{place.free_gib:.0f} GiB free for {place.what} in {place.folder}" for place in places
    )
    return Finding("disk", "failed" if small else "ok", detail, "; ".join(small))
