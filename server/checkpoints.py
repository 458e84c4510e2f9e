"""From a model's name and a variant to a checkpoint on disk, built where the store lacks it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from configs.datasets import load_dataset
from configs.loader import ARCHITECTURES, load_architecture
from configs.schema import Architecture, NoQuantization, Quantization, Variant
from server.builder import Job, MemoriseJob, PruneJob, QuantizeJob
from server.processes import spawn, stop_group
from server.store import PROVENANCE, Checkpoint, Store, file_digest
from starwatt_errors import BuildError, UsageError
from traces.atomic import read_json

HUB_FILES = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model")
_WEIGHTS = ("torch", "transformers", "tokenizers")
_TOOLS: dict[str, tuple[str, ...]] = {
    "bitsandbytes": ("bitsandbytes",),
    "awq": ("llmcompressor", "compressed-tensors"),
}
_LAST_LINES = 12
_STOP_S = 2.0

Announce = Callable[[str], None]


def resolve_model(model: str, store: Store, announce: Announce) -> Checkpoint:
    """The unquantised checkpoint of a model: an architecture that is built, a local folder, or a hub id.

    Raises:
        UsageError: nothing of that name, or it is no StarCoder2.
        BuildError: the build or the download failed.
    """
    architecture = load_architecture(model)
    if architecture:
        return _memorised(architecture, store, announce)
    if Path(model).expanduser().is_dir():
        return _local(Path(model).expanduser().resolve())
    if model.startswith(("/", "./", "../", "~")):
        raise UsageError(f"models: there is no folder {model}")
    if model.count("/") != 1:
        known = ", ".join(sorted(path.stem for path in ARCHITECTURES.glob("*.json")))
        raise UsageError(
            f"models: {model!r} is neither an architecture ({known}), nor a folder (begin it with ./ or /), "
            "nor a hub id (owner/name)"
        )
    return _from_hub(model, announce)


def build_variant(model: str, variant: Variant, store: Store, announce: Announce) -> Checkpoint:
    """The checkpoint that an engine loads for ``variant`` of ``model``; nothing is done where the store has it.

    Raises:
        UsageError: the model is not there or is no StarCoder2.
        BuildError: a step of the build failed; the message has the last lines of its output.
    """
    checkpoint = resolve_model(model, store, announce)
    if variant.prune:
        prune_job = PruneJob(source=checkpoint.path, prune=variant.prune)
        checkpoint = _derive(
            checkpoint, prune_job, "prune", variant.prune.model_dump(), _WEIGHTS, store, announce
        )
    quantization: Quantization = variant.quantization
    if isinstance(quantization, NoQuantization):
        return checkpoint
    packages = _WEIGHTS + _TOOLS[quantization.kind]
    job = QuantizeJob(source=checkpoint.path, quantize=quantization)
    return _derive(checkpoint, job, "quantize", quantization.model_dump(), packages, store, announce)


def _memorised(architecture: Architecture, store: Store, announce: Announce) -> Checkpoint:
    recipe = {
        "architecture": architecture.model_dump(mode="json", exclude={"description"}),
        "dataset": load_dataset(architecture.weights.dataset).sha256,
        "code": file_digest(Path(__file__).parent / "memorise.py"),
        "versions": _versions(_WEIGHTS),
    }
    job = MemoriseJob(architecture=architecture)
    return store.get_or_build(recipe, _in_a_process(job, announce, architecture.name), memorised=True)


def _derive(
    source: Checkpoint,
    job: Job,
    step: str,
    settings: dict[str, Any],
    packages: tuple[str, ...],
    store: Store,
    announce: Announce,
) -> Checkpoint:
    code = file_digest(Path(__file__).parent / f"{step}.py")
    recipe = {"source": source.digest, step: settings, "code": code, "versions": _versions(packages)}
    label = f"{step} {json.dumps(settings)}"
    return store.get_or_build(recipe, _in_a_process(job, announce, label), memorised=source.memorised)


def _versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Of packages, and of Python: its library is what AWQ is calibrated on."""
    return {
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in packages},
    }


def _in_a_process(job: Job, announce: Announce, label: str) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        announce(f"building {label}")
        with tempfile.TemporaryDirectory() as scratch:
            job_file, log = Path(scratch) / "job.json", Path(scratch) / "log"
            job_file.write_text(job.model_dump_json(), encoding="utf-8")
            command = [sys.executable, "-m", "server.builder", str(job_file), str(folder)]
            environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
            with log.open("wb") as output:
                process = spawn(
                    command, stdout=output, stderr=output, environment=environment, cwd=Path(scratch)
                )
            try:
                code = process.wait()
            finally:
                stop_group(process, grace_s=_STOP_S)
            if code != 0:
                last = log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
                raise BuildError(f"building {label} failed:\n  " + "\n  ".join(last))

    return build


def _local(path: Path) -> Checkpoint:
    _check_starcoder2(path)
    digests = {file.name: file_digest(file) for file in sorted(path.iterdir()) if file.is_file()}
    digest = hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()
    ours = path / PROVENANCE  # a checkpoint of a store, given by its path
    memorised = ours.is_file() and bool(read_json(ours).get("memorised"))
    return Checkpoint(path=path, digest=digest, memorised=memorised)


def _from_hub(model: str, announce: Announce) -> Checkpoint:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    announce(f"fetching {model} from the hub")
    try:
        path = Path(snapshot_download(model, allow_patterns=list(HUB_FILES)))
    except HFValidationError as error:
        raise UsageError(f"models: {model!r} is no hub id: {error}") from error
    except RepositoryNotFoundError as error:
        raise UsageError(
            f"models: the hub has no {model!r}, or you may not read it (hf auth login)"
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise BuildError(
            f"{model} could not be fetched from the hub, and its cache lacks it: {reason}"
        ) from error
    _check_starcoder2(path)
    return Checkpoint(path=path, digest=f"hub:{model}@{path.name}", memorised=False)


def _check_starcoder2(path: Path) -> None:
    config = path / "config.json"
    if not config.is_file():
        raise UsageError(f"models: {path} has no config.json: it is no checkpoint")
    try:
        kind = json.loads(config.read_text(encoding="utf-8")).get("model_type")
    except (ValueError, AttributeError) as error:
        raise UsageError(f"models: {config} does not read: {error}") from error
    if kind != "starcoder2":
        raise UsageError(
            f"models: {path} is of type {kind!r}; starwatt measures StarCoder2 (model_type 'starcoder2')"
        )
    if not any(path.glob("*.safetensors")):
        raise UsageError(f"models: {path} has no *.safetensors (pickled weights are never read)")
