"""The checkpoint store: every built checkpoint under the digest of what it was built from.

A checkpoint's key is the SHA-256 of its recipe: the source model's digest, what was done to it, and the versions
of the packages that did it. It is built in a temporary folder beside its place and moved in whole, under a lock,
so that two builders make it once and a build killed half-way leaves nothing that looks finished.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import platformdirs

from starwatt_errors import BuildError
from traces.atomic import read_json, write_json

PROVENANCE = "starwatt.json"


@dataclass(frozen=True)
class Checkpoint:
    """A folder that an engine can serve.

    ``digest`` is the key in the store, or the content's own digest for a checkpoint outside it.
    """

    path: Path
    digest: str
    memorised: bool
    """The model was fitted to the very tasks it will be graded on."""


def store_root() -> Path:
    """Where checkpoints are kept: ``$STARWATT_STORE``, or the user's cache folder."""
    configured = os.environ.get("STARWATT_STORE")
    return Path(configured) if configured else platformdirs.user_cache_path("starwatt") / "checkpoints"


def recipe_digest(recipe: Mapping[str, Any]) -> str:
    """SHA-256 of the recipe's canonical JSON."""
    text = json.dumps(recipe, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class Store:
    """Checkpoints by digest under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: str) -> Path:
        """Where the checkpoint of this digest lies, or would lie."""
        return self.root / digest[:32]

    def find(self, recipe: Mapping[str, Any]) -> Checkpoint | None:
        """The finished checkpoint of a recipe, or None."""
        digest = recipe_digest(recipe)
        path = self.path(digest)
        if not (path / PROVENANCE).is_file():
            return None
        provenance = read_json(path / PROVENANCE)
        return Checkpoint(path=path, digest=digest, memorised=bool(provenance["memorised"]))

    def get_or_build(
        self, recipe: Mapping[str, Any], build: Callable[[Path], None], *, memorised: bool
    ) -> Checkpoint:
        """The checkpoint of ``recipe``, built by ``build(folder)`` where the store lacks it.

        Raises:
            BuildError: the store cannot be written, or ``build`` failed.
        """
        found = self.find(recipe)
        if found:
            return found
        digest = recipe_digest(recipe)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self.root / f"{digest[:32]}.lock"):
                return self.find(recipe) or self._build(recipe, digest, build, memorised)
        except OSError as error:
            raise BuildError(f"the checkpoint store {self.root} cannot be written: {error}") from error

    def _build(
        self, recipe: Mapping[str, Any], digest: str, build: Callable[[Path], None], memorised: bool
    ) -> Checkpoint:
        for left_over in self.root.glob(f".{digest[:32]}-*"):  # a build was killed; its lock is ours now
            shutil.rmtree(left_over)
        temporary = Path(tempfile.mkdtemp(prefix=f".{digest[:32]}-", dir=self.root))
        try:
            build(temporary)
            provenance = {
                "digest": digest,
                "recipe": recipe,
                "memorised": memorised,
                "files": {
                    file.name: file_digest(file) for file in sorted(temporary.iterdir()) if file.is_file()
                },
            }
            write_json(temporary / PROVENANCE, provenance)
            temporary.chmod(0o755)
            temporary.replace(self.path(digest))
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return Checkpoint(path=self.path(digest), digest=digest, memorised=memorised)


def file_digest(path: Path) -> str:
    """SHA-256 of one file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
