"""The checkpoint store: every built checkpoint under the digest of what it was built from.

A checkpoint's key is the SHA-256 of its recipe: the source model's digest, what was done to it, and the code and
versions of the packages that did it. It is built in a temporary folder beside its place and moved in whole, under a
lock, so that two builders make it once and a build killed half-way leaves nothing that looks finished. What is taken
from the store is checked against the digests of its files first.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import filelock
import platformdirs

from configs.files.text_files import own_path
from starwatt_errors import BuildError, TraceError, reason_of
from traces.atomic import read_json, write_json

PROVENANCE = "starwatt.json"
_DIGEST_IN_NAME = 32


@dataclass(frozen=True)
class Checkpoint:
    """A folder that an engine can serve.

    ``digest`` is the key in the store, or the content's own digest for a checkpoint outside it.
    """

    path: Path
    digest: str
    memorised: bool
    """The model was fitted to the very tasks it will be graded on."""
    random_weights: bool = False
    """Nothing was learnt: energy and speed are those of its shape, and there is no pass@1."""

    @classmethod
    def noted(cls, path: Path, digest: str, provenance: Mapping[str, Any]) -> Checkpoint:
        """Read from its provenance what kind of model it is."""
        return cls(path, digest, bool(provenance.get("memorised")), bool(provenance.get("random_weights")))


@dataclass(frozen=True)
class Stored:
    """Describe what lies in the store under one digest."""

    path: Path
    provenance: Mapping[str, Any]
    size_bytes: int

    @property
    def about(self) -> str:
        """Say what it is: the model and what was done to it."""
        return str(self.provenance.get("about", "?"))

    def damage(self) -> str | None:
        """Name the file that is not what was built, or None."""
        return damaged_file(self.path, self.provenance.get("files", {}))


def store_root() -> Path:
    """Return the folder of all checkpoints: ``$STARWATT_STORE``, or the user's cache folder."""
    configured = os.environ.get("STARWATT_STORE")
    return own_path(configured) if configured else platformdirs.user_cache_path("starwatt") / "checkpoints"


def recipe_digest(recipe: Mapping[str, Any]) -> str:
    """Return SHA-256 of the recipe's canonical JSON."""
    text = json.dumps(recipe, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class Store:
    """Checkpoints by digest under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: str) -> Path:
        """Return the folder in which the checkpoint of this digest lies, or would lie."""
        return self.root / digest[:_DIGEST_IN_NAME]

    def has(self, recipe: Mapping[str, Any]) -> bool:
        """Say whether its checkpoint is finished; what it holds is not looked at."""
        return (self.path(recipe_digest(recipe)) / PROVENANCE).is_file()

    def find(self, recipe: Mapping[str, Any]) -> Checkpoint | None:
        """Find the finished checkpoint of a recipe, or None.

        Raises:
            BuildError: a file of it is not what was built.
        """
        digest = recipe_digest(recipe)
        path = self.path(digest)
        if not (path / PROVENANCE).is_file():
            return None
        provenance = read_json(path / PROVENANCE)
        damaged = damaged_file(path, provenance["files"])
        if damaged:
            raise BuildError(
                f"the checkpoint {path} is damaged: {damaged}. `starwatt build --prune` removes it; "
                "the next build makes it again (and the disk may want a look)"
            )
        return Checkpoint.noted(path, digest, provenance)

    def get_or_build(
        self,
        recipe: Mapping[str, Any],
        build: Callable[[Path], None],
        *,
        memorised: bool,
        random_weights: bool = False,
        about: str = "",
    ) -> Checkpoint:
        """Return the checkpoint of ``recipe``, built where the store lacks it.

        Args:
            recipe: whatever decides its content; its digest is the checkpoint's.
            build: writes the files into the folder that it is given.
            memorised: the model was fitted to the tasks it is graded on.
            random_weights: there is nothing to grade.
            about: what it is, for a person who lists the store.

        Raises:
            BuildError: the store cannot be written, ``build`` failed, or what is there is damaged.
        """
        stored = self.find(recipe)
        if stored:
            return stored
        digest = recipe_digest(recipe)
        notes = {"about": about, "memorised": memorised, "random_weights": random_weights}
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self._lock(digest)):
                if not self.find(recipe):
                    self._build(recipe, digest, build, notes)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise BuildError(
                f"the checkpoint store {self.root} {'is full' if full else 'cannot be written'}: {reason_of(error)}"
                + ("; `starwatt build --prune` frees what no build finds any more, " if full else "")
                + ("STARWATT_STORE names a folder on another disk" if full else "")
            ) from error
        built = self.find(recipe)
        assert built is not None  # noqa: S101 -- it was there, or was moved there under the lock
        return built

    def stored(self) -> Iterator[Stored]:
        """Return everything that is finished, by the time it was made; one whose provenance cannot be read has none."""
        folders = [path for path in self.root.glob("[0-9a-f]*") if path.is_dir()]
        for path in sorted(folders, key=lambda folder: folder.stat().st_mtime_ns):
            try:
                provenance = read_json(path / PROVENANCE)
            except TraceError:
                provenance = {}
            size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            yield Stored(path, provenance, size)

    def remove(self, digest: str) -> None:
        """Remove a checkpoint, unless it is just being built."""
        with filelock.FileLock(self._lock(digest)):
            shutil.rmtree(self.path(digest))

    def remove_left_overs(self) -> list[Path]:
        """Remove what killed builds left; what is being built now stays."""
        removed = []
        for left_over in sorted(self.root.glob(".*-*")):
            lock = filelock.FileLock(self._lock(left_over.name[1:].partition("-")[0]), timeout=0)
            try:
                with lock:
                    shutil.rmtree(left_over)
            except filelock.Timeout:
                continue
            removed.append(left_over)
        return removed

    def _lock(self, digest: str) -> Path:
        return self.root / f"{digest[:_DIGEST_IN_NAME]}.lock"

    def _build(
        self,
        recipe: Mapping[str, Any],
        digest: str,
        build: Callable[[Path], None],
        notes: Mapping[str, Any],
    ) -> None:
        for left_over in self.root.glob(f".{digest[:_DIGEST_IN_NAME]}-*"):  # killed; its lock is ours now
            shutil.rmtree(left_over)
        temporary = Path(tempfile.mkdtemp(prefix=f".{digest[:_DIGEST_IN_NAME]}-", dir=self.root))
        try:
            build(temporary)
            files = sorted(file for file in temporary.iterdir() if file.is_file())
            for file in files:
                _let_others_read(file)
            provenance = {
                "digest": digest,
                "recipe": recipe,
                **notes,
                "files": {file.name: _synced_digest(file) for file in files},
            }
            write_json(temporary / PROVENANCE, provenance)
            _let_others_read(temporary / PROVENANCE)
            temporary.chmod(0o755)
            temporary.replace(self.path(digest))
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def damaged_file(folder: Path, digests: Mapping[str, str]) -> str | None:
    """Name the file that is missing or has other content than when it was built; None where all is well."""
    for name, digest in digests.items():
        file = folder / name
        if not file.is_file():
            return f"{name} is missing"
        if file_digest(file) != digest:
            return f"{name} has another digest than when it was built"
    return None


def file_digest(path: Path) -> str:
    """Return SHA-256 of one file; read once a process for as long as its size and times stay."""
    stat = path.stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@lru_cache(maxsize=4096)
def _digest(path: Path, _size: int, _mtime_ns: int, _ctime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _let_others_read(file: Path) -> None:
    """Libraries write weights for their user alone; an engine may be another's, as in a container."""
    file.chmod(file.stat().st_mode | 0o444)


def _synced_digest(path: Path) -> str:
    """Return the digest of what is on the disk, not only on its way there."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return file_digest(path)
