"""Turn a model's name and a variant into a checkpoint on disk, built where the store lacks it."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from configs.architecture import Architecture
from configs.variant import NoQuantization, ReadyMade, Variant
from server.build import recipes
from server.build.builder import Job, MakeJob, PruneJob, QuantizeJob
from server.build.foresight import source_of
from server.build.given.quantised import check_source, quantised_by
from server.build.sources import Announce, from_folder, from_hub, named_model, read_config
from server.build.store import Checkpoint, Store
from server.process.spawn import spawn, stop_group
from starwatt_errors import BuildError

_LAST_LINES = 12
_STOP_S = 2.0
_LITTLE_LEFT = 64 * 2**20


def resolve_model(
    model: str, store: Store, announce: Announce, *, trust_remote_code: bool = False
) -> Checkpoint:
    """Return the checkpoint of a model as it is: an architecture that is built, a local folder, or a hub id.

    Raises:
        UsageError: nothing of that name, or it is none that is measured.
        BuildError: the build or the download failed.
    """
    named = named_model(model)
    if isinstance(named, Architecture):
        return _make(named, store, announce)
    if isinstance(named, Path):
        return from_folder(named, trust_remote_code=trust_remote_code)
    return from_hub(model, announce, trust_remote_code=trust_remote_code)


def build_variant(model: str, variant: Variant, store: Store, announce: Announce) -> Checkpoint:
    """Return what an engine loads for ``variant`` of ``model``; nothing is done where the store has it.

    Raises:
        UsageError: the model is missing, is none that is measured, or is quantised already.
        BuildError: a step of the build failed; the message has the last lines of its output.
    """
    source, quantization = source_of(model, variant), variant.quantization
    checkpoint = resolve_model(source, store, announce, trust_remote_code=variant.trust_remote_code)
    quantised = quantised_by(source, read_config(checkpoint.path), checkpoint.path)
    check_source(f"models: {source}", variant, quantised)
    if variant.prune:
        job = PruneJob(source=checkpoint.path, prune=variant.prune)
        about = f"{model} · prune {_words(variant.prune.model_dump(exclude_none=True))}"
        checkpoint = _derive(
            checkpoint, job, recipes.pruned(checkpoint, variant.prune), about, store, announce
        )
    if isinstance(quantization, NoQuantization | ReadyMade):
        return checkpoint
    about = f"{model} · {variant.built_as} · {_words(quantization.model_dump(exclude_none=True))}"
    quantize_job = QuantizeJob(
        source=checkpoint.path, quantize=quantization, random_weights=checkpoint.random_weights
    )
    recipe = recipes.quantised(checkpoint, quantization)
    return _derive(checkpoint, quantize_job, recipe, about, store, announce)


def _make(architecture: Architecture, store: Store, announce: Announce) -> Checkpoint:
    random_weights = architecture.weights.kind == "random"
    job = MakeJob(architecture=architecture)
    return store.get_or_build(
        recipes.made(architecture),
        _in_a_process(job, announce, architecture.name),
        memorised=not random_weights,
        random_weights=random_weights,
        about=f"{architecture.name} ({architecture.weights.kind} weights)",
    )


def _derive(
    source: Checkpoint, job: Job, recipe: recipes.Recipe, about: str, store: Store, announce: Announce
) -> Checkpoint:
    return store.get_or_build(
        recipe,
        _in_a_process(job, announce, about),
        memorised=source.memorised,
        random_weights=source.random_weights,
        about=about,
    )


def _words(settings: dict[str, object]) -> str:
    return json.dumps(settings).replace('"', "").strip("{}")


def _in_a_process(job: Job, announce: Announce, label: str) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        announce(f"building {label}")
        with tempfile.TemporaryDirectory() as scratch:
            job_file, log = Path(scratch) / "job.json", Path(scratch) / "log"
            job_file.write_text(job.model_dump_json(exclude_none=True), encoding="utf-8")
            command = [sys.executable, "-P", "-m", "server.build.builder", str(job_file), str(folder)]
            environment = {
                **os.environ,
                "HF_HUB_OFFLINE": "1",
                "TOKENIZERS_PARALLELISM": "false",
                "TQDM_DISABLE": "1",
            }
            with log.open("wb") as output:
                process = spawn(
                    command, stdout=output, stderr=output, environment=environment, cwd=Path(scratch)
                )
            try:
                code = process.wait()
            finally:
                stop_group(process, grace_s=_STOP_S)
            if code != 0:
                said = log.read_text(errors="replace")
                last = "\n  ".join(said.splitlines()[-_LAST_LINES:])
                raise BuildError(f"building {label} failed{_perhaps_full(folder, said)}:\n  {last}")

    return build


def _perhaps_full(folder: Path, said: str) -> str:
    """Return the likely reason where the disk is full: what a library makes of it is hard to read."""
    if "No space left" not in said and shutil.disk_usage(folder).free > _LITTLE_LEFT:
        return ""
    return (
        f", for the disk of {folder.parent} is full (`starwatt build --prune` frees what no build finds any more; "
        "STARWATT_STORE names a folder on another disk)"
    )
