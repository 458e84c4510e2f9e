"""Find what a study is going to need of its models before anything is fetched or built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import lru_cache
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any, Literal

from configs.architecture import Architecture
from configs.loader import load_architecture
from configs.variant import NoQuantization, ReadyMade, Variant
from server.build import recipes
from server.build.families.kinds import TRIED, family_of
from server.build.families.suits import check_suits
from server.build.given.files import check_files, check_tokenizer_listed
from server.build.given.quantised import check_source, quantised_by
from server.build.layer_rules import check_prune
from server.build.shape import Shape, pruned_shape, shape_by_name, shape_of, weight_bytes
from server.build.sources import (
    HUB_FILES,
    check_checkpoint,
    check_config,
    check_whole,
    from_folder,
    known_to_the_hub,
    named_model,
    read_config,
)
from server.build.store import PROVENANCE, Checkpoint, Store, recipe_digest
from starwatt_errors import BuildError, UsageError

_HUB_TIMEOUT_S = 10.0
_HASHED_BYTES = 4 << 30
"""A folder that holds more is not read through only to say whether the store has what is made of it."""


@dataclass(frozen=True)
class Known:
    """One model, as far as it is known now."""

    model: str
    shape: Shape | None
    folder: Path | None = None
    """The folder of its files; None where they are still to be made or fetched."""
    digest: str | None = None
    made_here: bool = False
    quantised: str | None = None
    """The method that it says it was quantised by."""
    family: str | None = None
    """As transformers names it; None where that is not known yet."""
    config: Path | None = None
    """The folder of its ``config.json``; None where that is not here."""
    fetch_bytes: float | None = 0.0
    """Bytes to be downloaded; None: the hub could not be asked."""
    amiss: str | None = None
    """What of its files is missing or damaged."""
    doubt: str | None = None
    """Why it is not known whether it can be had."""


@dataclass(frozen=True)
class Step:
    """Something that is downloaded or built before the first engine starts."""

    kind: Literal["fetch", "make", "prune", "quantise"]
    about: str
    size_bytes: float | None
    parameters: float | None
    format: str = ""
    """The kind of quantisation."""


@lru_cache(maxsize=64)
def known_model(model: str, *, trust_remote_code: bool = False) -> Known:
    """Say what is known of a model without fetching it; the hub is asked where its cache lacks it.

    Raises:
        UsageError: there is no such model, or it is none that is measured here.
        BuildError: it is a checkpoint of a store, and damaged.
    """
    named = named_model(model)
    if isinstance(named, Architecture):
        return _to_be_made(named)
    if isinstance(named, Path):
        return _in_a_folder(model, named, trust=trust_remote_code)
    cached = _cached(model)
    if cached is not None:
        check_checkpoint(cached, trust_remote_code=trust_remote_code)
        known = _read(model, cached, f"hub:{model}@{cached.name}", trust=trust_remote_code)
        if known.amiss is None:
            return known
        asked = _asked_of_the_hub(model, trust=trust_remote_code)  # a download that broke off resumes
        return known if asked.doubt else asked
    return _asked_of_the_hub(model, trust=trust_remote_code)


def check_files_of(known: Known) -> None:
    """Raise UsageError where files of a model are missing or damaged."""
    if known.amiss is not None:
        raise UsageError(known.amiss)


def check_variant(known: Known, variant: Variant) -> None:
    """Raise UsageError or BuildError where ``variant`` cannot be made of a model."""
    if known.folder is not None or known.quantised is not None:
        check_source(known.model, variant, known.quantised)
    if variant.prune is not None and known.shape is not None:
        try:
            check_prune(variant.prune, known.shape.layers)
        except BuildError as error:
            raise UsageError(f"{variant.name} of {known.model}: {error}") from error
    if known.config is not None and known.family not in TRIED:
        check_suits(known.model, known.config, variant)


def source_of(model: str, variant: Variant) -> str:
    """Return the model that a variant is made of: another one where a ready-made checkpoint is named for it."""
    quantization = variant.quantization
    return quantization.checkpoints.get(model, model) if isinstance(quantization, ReadyMade) else model


def steps(known: Known, variant: Variant, store: Store) -> Iterator[Step]:
    """List what is missing of a variant, in the order of doing; what can't be said to be there is listed too."""
    shape, parameters = known.shape, None if known.shape is None else known.shape.parameters
    if known.fetch_bytes != 0:
        yield Step("fetch", known.model, known.fetch_bytes, parameters)
    elif known.folder is None:
        yield Step("make", known.model, None if parameters is None else 2 * parameters, parameters)
    source = Checkpoint(known.folder or Path(), known.digest or "", memorised=False)
    if variant.prune is not None:
        recipe = recipes.pruned(source, variant.prune)
        if known.digest is None or not store.has(recipe):
            left = None if shape is None else 2 * pruned_shape(shape, variant).parameters
            yield Step("prune", f"{known.model} · {variant.built_as}", left, parameters)
        source = Checkpoint(Path(), recipe_digest(recipe), memorised=False)
    quantization = variant.quantization
    if isinstance(quantization, NoQuantization | ReadyMade):
        return
    if known.digest is None or not store.has(recipes.quantised(source, quantization)):
        size = None if shape is None else weight_bytes(pruned_shape(shape, variant), variant)
        yield Step("quantise", f"{known.model} · {variant.built_as}", size, parameters, quantization.kind)


def _to_be_made(architecture: Architecture) -> Known:
    config = {"model_type": architecture.family, "vocab_size": architecture.weights.vocabulary}
    shape = shape_of({**config, **architecture.config})
    family = architecture.family
    try:
        digest = recipe_digest(recipes.made(architecture))
    except PackageNotFoundError:  # a machine that hands work to others builds nothing itself
        return Known(architecture.name, shape, made_here=True, family=family)
    return Known(architecture.name, shape, digest=digest, made_here=True, family=family)


def in_store(known: Known, store: Store) -> Known:
    """Return the same model with the place where the store holds it."""
    if not known.made_here or known.digest is None or not (store.path(known.digest) / PROVENANCE).is_file():
        return known
    return replace(known, folder=store.path(known.digest))


def _in_a_folder(model: str, folder: Path, *, trust: bool) -> Known:
    check_checkpoint(folder, trust_remote_code=trust)
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    digest = from_folder(folder, trust_remote_code=trust).digest if size < _HASHED_BYTES else None
    return _read(model, folder, digest, trust=trust)


def _read(model: str, folder: Path, digest: str | None, *, trust: bool) -> Known:
    config = read_config(folder)
    quantised = quantised_by(model, config, folder)
    return Known(
        model, shape_of(config), folder=folder, digest=digest, quantised=quantised, family=family_of(config),
        config=folder, amiss=_amiss(folder, trust=trust),
    )  # fmt: skip


def _amiss(folder: Path, *, trust: bool) -> str | None:
    try:
        check_whole(folder, trust_remote_code=trust)
    except UsageError as error:
        return str(error)
    return None


def _cached(model: str) -> Path | None:
    """Return the snapshot of a hub id on this machine, which may lack files; None where there is none."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        with known_to_the_hub(model):
            path = Path(snapshot_download(model, allow_patterns=list(HUB_FILES), local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    return path if (path / "config.json").is_file() and any(path.glob("*.safetensors")) else None


def _asked_of_the_hub(model: str, *, trust: bool) -> Known:
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        with known_to_the_hub(model):
            told = HfApi().model_info(model, files_metadata=True, timeout=_HUB_TIMEOUT_S)
            if told.gated:
                HfApi().auth_check(model)
    except (HfHubHTTPError, httpx.HTTPError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return Known(model, likely_shape(model), fetch_bytes=None, doubt=reason)
    config: Mapping[str, Any] = told.config or {}
    if "model_type" in config:
        check_config(model, config, trust_remote_code=trust)
    every = told.siblings or []
    known_config = ["config.json"] if "model_type" in config else []
    names = [file.rfilename for file in every]
    check_files(model, [*known_config, *names])
    _check_tokenizer_on_the_hub(model, names, trust=trust)
    files = [file for file in every if file.rfilename.endswith((".safetensors", ".json"))]
    fetched = float(sum(file.size or 0 for file in files)) or None
    quantised, family = quantised_by(model, config), family_of(config)
    known = Known(model, likely_shape(model), fetch_bytes=fetched, family=family, quantised=quantised)
    return known if known.family in TRIED else _with_config(known, trust=trust)


def _check_tokenizer_on_the_hub(model: str, names: list[str], *, trust: bool) -> None:
    if trust or "config.json" not in names:  # its tokenizer may be code, or this is no whole list
        return
    fetched = [name for name in names if any(fnmatch(name, pattern) for pattern in HUB_FILES)]
    check_tokenizer_listed(
        model, fetched, f"beside its own (hf download {model} --local-dir DIR), and name DIR"
    )


def _with_config(known: Known, *, trust: bool) -> Known:
    """Return a model as known by its ``config.json``, which is fetched alone; as it was where that cannot be had."""
    import httpx
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    try:
        folder = Path(huggingface_hub.hf_hub_download(known.model, "config.json")).parent
    except (HfHubHTTPError, httpx.HTTPError, OSError):
        return known
    config = read_config(folder)
    check_config(known.model, config, trust_remote_code=trust)
    return replace(known, shape=shape_of(config), family=family_of(config), config=folder)


def likely_shape(model: str) -> Shape | None:
    """Guess the shape of a model that is not here: that of an architecture of the same name, or what its name says."""
    name = model.rpartition("/")[2]
    architecture = load_architecture(name)
    return _to_be_made(architecture).shape if architecture is not None else shape_by_name(name)
