"""Checkpoints from outside the store: a local folder, or the hub. Decoder-only models, only safetensors, no code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from configs.architecture import Architecture
from configs.loader import ARCHITECTURES, load_architecture
from configs.variant import ReadyMade, Variant
from server.build.families.kinds import check_kind
from server.build.store import PROVENANCE, Checkpoint, file_digest
from starwatt_errors import BuildError, UsageError, reason_of
from traces.atomic import read_json

HUB_FILES = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model", "*.jinja")
CODE_FILES = ("*.py",)

Announce = Callable[[str], None]


def named_model(model: str) -> Architecture | Path | str:
    """Resolve a model's name: an architecture that is built here, a folder, or a hub id.

    Raises:
        UsageError: it is none of them.
    """
    if not model.strip():  # Path makes the folder that we are in of it
        raise UsageError("models: takes an architecture, a folder (./x), or a hub id (owner/name)")
    architecture = load_architecture(model)
    if architecture is not None:
        return architecture
    if Path(model).expanduser().is_dir():
        return Path(model).expanduser().resolve()
    if model.startswith(("/", "./", "../", "~")):
        raise UsageError(f"models: there is no folder {model}")
    if model.count("/") != 1:
        known = ", ".join(sorted(path.stem for path in ARCHITECTURES.glob("*.json")))
        raise UsageError(
            f"models: {model!r} is neither an architecture ({known}), nor a folder (begin it with ./ or /), "
            "nor a hub id (owner/name)"
        )
    return model


def from_folder(path: Path, *, trust_remote_code: bool = False) -> Checkpoint:
    """A folder as it lies, known by the digest of what is in it.

    Raises:
        UsageError: it is none that is measured.
        BuildError: it is a checkpoint of a store, and a file of it is not what was built.
    """
    check_checkpoint(path, trust_remote_code=trust_remote_code)
    digests = {file.name: file_digest(file) for file in sorted(path.iterdir()) if file.is_file()}
    digest = hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()
    ours = read_json(path / PROVENANCE) if (path / PROVENANCE).is_file() else {}  # given by its path
    return Checkpoint.noted(path, digest, ours)


def from_hub(model: str, announce: Announce, *, trust_remote_code: bool = False) -> Checkpoint:
    """The snapshot of a hub id, fetched where the hub's cache lacks it.

    Raises:
        UsageError: there is no such model, or it is none that is measured.
        BuildError: it could not be fetched.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    announce(f"fetching {model} from the hub")
    patterns = [*HUB_FILES, *(CODE_FILES if trust_remote_code else ())]
    try:
        with known_to_the_hub(model):
            path = Path(snapshot_download(model, allow_patterns=patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise BuildError(
            f"{model} could not be fetched from the hub, and its cache lacks it: {reason}"
        ) from error
    check_checkpoint(path, trust_remote_code=trust_remote_code)
    return Checkpoint(path=path, digest=f"hub:{model}@{path.name}", memorised=False)


@contextmanager
def known_to_the_hub(model: str) -> Iterator[None]:
    """Raise UsageError where the block finds that ``model`` is no hub id, is not on the hub, or is gated."""
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    try:
        yield
    except GatedRepoError as error:
        raise UsageError(
            f"models: {model} is gated: accept its terms on its page on the hub, then `hf auth login` as who did"
        ) from error
    except HFValidationError as error:
        raise UsageError(f"models: {model!r} is no hub id: {error}") from error
    except RepositoryNotFoundError as error:
        raise UsageError(
            f"models: the hub has no {model!r}, or you may not read it (hf auth login)"
        ) from error


def check_checkpoint(path: Path, *, trust_remote_code: bool = False) -> None:
    """Raise UsageError where a folder is no decoder-only model in safetensors, or wants code of its own to be run."""
    config = read_config(path)
    check_config(str(path), config, trust_remote_code=trust_remote_code)
    if not any(path.glob("*.safetensors")):
        raise no_safetensors(str(path))


def check_config(model: str, config: Mapping[str, Any], *, trust_remote_code: bool = False) -> None:
    """Raise UsageError where ``config.json`` is of no decoder-only model, or wants code that nobody said to run."""
    if config.get("auto_map") and not trust_remote_code:
        raise UsageError(
            f"models: {model} wants code of its own to be run (auto_map in config.json): only a variant with "
            "trust_remote_code: true does so"
        )
    check_kind(model, config)


def no_safetensors(model: str) -> UsageError:
    """Make the error that a model has no weights that are read here."""
    return UsageError(f"models: {model} has no *.safetensors (pickled weights are never read)")


def read_config(path: Path) -> dict[str, Any]:
    """``config.json`` of a checkpoint.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    config = path / "config.json"
    if not config.is_file():
        raise UsageError(f"models: {path} has no config.json: it is no checkpoint")
    try:
        read = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"models: {config} cannot be read: {reason_of(error)}") from error
    if not isinstance(read, dict):
        raise UsageError(f"models: {config} cannot be read: it is no JSON object")
    return read


def quantised_by(path: Path) -> str | None:
    """The method that a checkpoint says it was quantised by, such as ``awq``; None for one that is not."""
    settings = read_config(path).get("quantization_config")
    return str(settings.get("quant_method", "?")) if isinstance(settings, dict) else None


def check_source(named: str, variant: Variant, quantised: str | None) -> None:
    """Raise UsageError, which begins with ``named``, where ``variant`` takes no source that is ``quantised`` so."""
    ready = isinstance(variant.quantization, ReadyMade)
    if ready and quantised is None:
        raise UsageError(
            f"{named} is not quantised, and ready-made serves what somebody else quantised: "
            "name its checkpoint in the variant's quantization.checkpoints"
        )
    if not ready and quantised is not None:
        raise UsageError(
            f"{named} is quantised already ({quantised}), so that it has no variant {variant.name}; "
            "the variant ready-made serves it as it is"
        )
