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
from server.build.families.kinds import TRIED, check_kind, family_of
from server.build.families.native import is_native
from server.build.given.files import check_files, check_tokenizer, names_in
from server.build.given.weights import check_fit, check_weights
from server.build.shape import in_the_usual_names, odd_dimension
from server.build.store import PROVENANCE, Checkpoint, file_digest
from starwatt_errors import BuildError, UsageError, did_you_mean, reason_of
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
    if Path(model).expanduser().is_file():
        raise UsageError(f"models: {model} is a file: name the folder that it lies in")
    if model.startswith(("/", "./", "../", "~")):
        raise UsageError(f"models: there is no folder {model}")
    if model.count("/") != 1:
        known = sorted(path.stem for path in ARCHITECTURES.glob("*.json"))
        raise UsageError(
            f"models: {model!r} is neither an architecture ({', '.join(known)}), nor a folder (begin it with ./ or /), "
            f"nor a hub id (owner/name){did_you_mean(model, known)}"
        )
    return model


def from_folder(path: Path, *, trust_remote_code: bool = False) -> Checkpoint:
    """Return a folder as it lies, known by the digest of what is in it.

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
    """Return the snapshot of a hub id, fetched where the hub's cache lacks it.

    Raises:
        UsageError: there is no such model, it is none that is measured, or not all of it is there.
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
    check_whole(path, trust_remote_code=trust_remote_code)
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
    names = names_in(path)
    if "config.json" in names:  # an encoder is told that it is one, not that its weights are pickled
        check_config(str(path), read_config(path), trust_remote_code=trust_remote_code)
    check_files(str(path), names)


def check_whole(path: Path, *, trust_remote_code: bool = False) -> None:
    """See that all of a checkpoint is there: weights that fit its configuration, and a tokenizer.

    Raises:
        UsageError: something is missing or damaged; the message says what would do.
    """
    config, shapes = read_config(path), check_weights(path)
    if family_of(config) in TRIED:  # how others name their tensors is not known
        check_fit(str(path), shapes, in_the_usual_names(config))
    if not trust_remote_code:  # else its tokenizer may be code
        check_tokenizer(path, names_in(path))


def check_config(model: str, config: Mapping[str, Any], *, trust_remote_code: bool = False) -> None:
    """Raise UsageError where ``config.json`` is of no decoder-only model, or wants code that nobody said to run.

    An ``auto_map`` that was left beside a class of transformers' own wants none.
    """
    if config.get("auto_map") and not trust_remote_code and not is_native(config):
        raise UsageError(
            f"models: {model} wants code of its own to be run (auto_map in config.json): only a variant with "
            "trust_remote_code: true does so"
        )
    check_kind(model, config)
    odd = odd_dimension(config)
    if odd:
        raise UsageError(
            f"models: {model} has a config.json whose {odd[0]} is no whole number above 0 (it is {odd[1]!r})"
        )


def read_config(path: Path) -> dict[str, Any]:
    """Read ``config.json`` of a checkpoint.

    Raises:
        UsageError: it cannot be read.
    """
    config = path / "config.json"
    try:
        read = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"models: {config} cannot be read: {reason_of(error)}") from error
    if not isinstance(read, dict):
        raise UsageError(f"models: {config} cannot be read: it is no JSON object")
    return read
