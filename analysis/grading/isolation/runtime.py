"""A copy of the running Python that an unprivileged user can read: its executable, standard library, numpy, and the
parser that evalplus' sanitiser uses.

Candidates run on the very version that evalplus would run them on. The interpreter itself often lies where
nobody else may look (pyenv below a root-only home), and the folder around it holds more than they need.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

import filelock
import numpy as np

from analysis.grading.isolation.namespaces import may_become
from starwatt_errors import GradingError, reason_of

_LAYOUT = 2
_LEFT_OUT = (
    "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3",
    "pydoc_data", "config-*", "*.a",
)  # fmt: skip


#: The uid of worker 0, of the range that systemd keeps for dynamic users: nobody's files belong to them.
FIRST_UID = 61184


def unprivileged_uid(worker: int) -> int | None:
    """Say who runs a worker's candidates when root grades; None: whoever grades runs them as themselves.

    That is also so for root of a user namespace that has no other user: such a root is an ordinary user outside.
    """
    uid = FIRST_UID + worker
    return uid if os.geteuid() == 0 and may_become(uid) else None


def runtime_folder() -> Path:
    """Say where the copies are kept: readable for every user when root grades, else the user's own cache."""
    if unprivileged_uid(0) is not None:
        return Path("/var/cache/starwatt/grader-runtime")
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "starwatt" / "grader-runtime"


def prepare_runtime(folder: Path | None = None) -> Path:
    """Return the folder of this interpreter's copy, made at the first call (about 100 MB, a second).

    Raises ``GradingError`` if it cannot be written, or if others could have written to it.
    """
    folder = folder or runtime_folder()
    runtime = folder / _digest()
    try:
        if _is_complete(runtime):
            return runtime
        folder.mkdir(parents=True, exist_ok=True)
        _refuse_if_others_may_write(folder)
        # A copy in use must not be replaced by another.
        with filelock.FileLock(folder / f"{runtime.name}.lock"):
            if not _is_complete(runtime):
                _make(runtime)
    except (OSError, shutil.Error) as error:
        raise GradingError(f"cannot make the sandbox's Python below {folder}: {reason_of(error)}") from error
    return runtime


def _make(runtime: Path) -> None:
    """Copy beside the final place, then move the whole there."""
    prefix = f"building-{runtime.name}-"
    for left_over in runtime.parent.glob(f"{prefix}*"):  # of one that was killed: the lock is ours
        shutil.rmtree(left_over, ignore_errors=True)
    building = Path(tempfile.mkdtemp(dir=runtime.parent, prefix=prefix))
    try:
        _copy_into(building)
        building.chmod(0o755)
        shutil.rmtree(runtime, ignore_errors=True)
        building.rename(runtime)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def python_in(runtime: Path) -> Path:
    """Return the interpreter below a runtime folder, wherever that is mounted."""
    return runtime / "bin" / "python3"


def _digest() -> str:
    executable = _executable()
    stat = executable.stat()
    parts = (_LAYOUT, executable, stat.st_size, stat.st_mtime_ns, sys.version, np.__version__, *_packages())
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _executable() -> Path:
    base = getattr(sys, "_base_executable", sys.executable)
    return Path(base).resolve()


def _is_complete(runtime: Path) -> bool:
    """Say whether all files are still there; cleaners of old files take them one by one."""
    marker = runtime / "complete"
    return marker.is_file() and marker.read_text() == str(_count_files(runtime) - 1)


def _count_files(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))


def _refuse_if_others_may_write(folder: Path) -> None:
    stat = folder.lstat()
    if stat.st_uid != os.geteuid() or stat.st_mode & 0o022:
        raise GradingError(f"{folder} belongs to, or can be written by, another user: remove it")


def _packages() -> list[Path]:
    """Return the folders of what candidates and the sanitiser may import."""
    numpy_folder = Path(np.__file__).parent
    parser = [importlib.util.find_spec(name) for name in ("tree_sitter", "tree_sitter_python")]
    installed = [Path(spec.origin).parent for spec in parser if spec is not None and spec.origin is not None]
    return [numpy_folder, numpy_folder.parent / "numpy.libs", *installed]


def _copy_into(runtime: Path) -> None:
    python = python_in(runtime)
    python.parent.mkdir()
    shutil.copy(_executable(), python)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = runtime / sys.platlibdir / version
    ignore = shutil.ignore_patterns(*_LEFT_OUT)
    for source in dict.fromkeys((sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))):
        original = source.replace(sys.prefix, sys.base_prefix, 1)
        if Path(original).is_dir():
            shutil.copytree(original, library, ignore=ignore, symlinks=False, dirs_exist_ok=True)
    shared = Path(str(sysconfig.get_config_var("LIBDIR"))) / str(sysconfig.get_config_var("INSTSONAME"))
    if shared.is_file() and ".so" in shared.name:
        (runtime / "lib").mkdir(exist_ok=True)
        shutil.copy(shared, runtime / "lib" / shared.name)
    for package in _packages():
        if package.is_dir():
            shutil.copytree(package, runtime / "site" / package.name, ignore=ignore, symlinks=False)
    for folder, folders, files in os.walk(runtime):
        for name in folders:
            Path(folder, name).chmod(0o755)
        for name in files:
            path = Path(folder, name)
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    (runtime / "complete").write_text(str(_count_files(runtime)))
    (runtime / "complete").chmod(0o644)
