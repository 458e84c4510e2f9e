"""``wire.c`` becomes a shared library: compiled once, by the machine's own C compiler, into the user's cache.

An image without a compiler brings it beside the source (``python -m loadgen.wire.build``).
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import filelock
import platformdirs

from starwatt_errors import LoadError, reason_of

SOURCE = Path(__file__).with_name("wire.c")
_FLAGS = (
    "-O2", "-std=gnu11", "-fno-strict-aliasing", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread",
)  # fmt: skip
_LONGEST_S = 60
_LEFT_OVER = f"building-{SOURCE.stem}-"


def library() -> Path:
    """Return the library, compiled where it is missing.

    Raises:
        LoadError: it can't be compiled; the message says why.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    digest = hashlib.sha256(SOURCE.read_bytes() + " ".join(_FLAGS).encode() + platform.machine().encode())
    folder = platformdirs.user_cache_path("starwatt") / "native"
    built = folder / f"wire-{digest.hexdigest()[:16]}.so"
    for library in (SOURCE.with_name(built.name), built):
        if library.is_file():
            return library
    if compiler is None:
        raise LoadError("no C compiler (cc, gcc or clang) is installed")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (
            filelock.FileLock(folder / f"{built.name}.lock"),
            tempfile.TemporaryDirectory(prefix=_LEFT_OVER, dir=_swept(folder)) as scratch,
        ):
            fresh = Path(scratch) / built.name
            done = subprocess.run(
                [compiler, *_FLAGS, "-o", str(fresh), str(SOURCE)],
                capture_output=True, text=True, timeout=_LONGEST_S, check=False, env={**os.environ, "TMPDIR": scratch},
            )  # fmt: skip
            if done.returncode:
                raise LoadError(f"{SOURCE.name} does not compile: {done.stderr.strip()[-500:]}")
            os.replace(fresh, built)  # noqa: PTH105 -- atomic, whoever else compiles
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LoadError(f"{SOURCE.name} cannot be compiled: {reason_of(error)}") from error
    return built


def _swept(folder: Path) -> Path:
    """Return the folder without what a compiler left that was killed; its lock is ours."""
    for left_over in folder.glob(f"{_LEFT_OVER}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    return folder


if __name__ == "__main__":
    shutil.copy(library(), SOURCE.parent)
