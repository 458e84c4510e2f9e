"""The package ``amdsmi``: found, loaded once, and its errors translated.

Its structures are those of one ``libamd_smi.so``, so that the package of the host's own ROCm goes before any other.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from starwatt_errors import MeterError

_T = TypeVar("_T")
_ROCM = "/opt/rocm"


class AmdError(MeterError):
    """AMD SMI does not answer, or refuses."""


class NoAmdError(AmdError):
    """There is no AMD SMI here, or no driver that it speaks to."""


@contextmanager
def opened() -> Iterator[Any]:
    """Give AMD SMI, from its start to its shutting down.

    Raises:
        NoAmdError: neither package nor driver is there.
        AmdError: it does not start.
    """
    smi = _package()
    try:
        smi.amdsmi_init(smi.AmdSmiInitFlags.INIT_AMD_GPUS)
    except smi.AmdSmiLibraryException as error:
        raise NoAmdError(f"AMD SMI: {words_of(error)}") from error
    try:
        yield smi
    finally:
        smi.amdsmi_shut_down()


def offered(smi: Any, ask: Callable[[], _T]) -> _T | None:
    """Ask for what a board may not offer; None where it does not.

    Raises:
        AmdError: it fails for another reason: the board was lost, or may not be read.
    """
    try:
        return ask()
    except smi.AmdSmiLibraryException as error:
        if error.get_error_code() in _not_offered(smi):
            return None
        raise AmdError(f"AMD SMI: {words_of(error)}") from error


def words_of(error: Any) -> str:
    """Say an error of the package in one line."""
    return str(error.get_error_info()).partition(" - ")[2].strip() or str(error.get_error_info())


def _not_offered(smi: Any) -> frozenset[int]:
    codes = smi.amdsmi_wrapper
    names = ("NOT_SUPPORTED", "NOT_YET_IMPLEMENTED", "NO_DATA", "UNEXPECTED_DATA", "FILE_ERROR", "NOT_FOUND")
    return frozenset(getattr(codes, f"AMDSMI_STATUS_{name}") for name in names)


def _installed() -> bool:
    try:
        return importlib.util.find_spec("amdsmi") is not None
    except ImportError:  # an environment that hides it
        return False


@cache
def _package() -> Any:
    """Import it; what it prints where it finds no library is in the error."""
    home = Path(os.environ.get("ROCM_HOME") or os.environ.get("ROCM_PATH") or _ROCM) / "share" / "amd_smi"
    folder = str(home) if (home / "amdsmi" / "__init__.py").is_file() else None
    if folder is None and not _installed():
        raise NoAmdError(f"AMD SMI: no package amdsmi in {home}, and none is installed")
    said = io.StringIO()
    if folder is not None:
        sys.path.insert(0, folder)
    try:
        with redirect_stdout(said):
            smi: Any = importlib.import_module("amdsmi")
            smi.amdsmi_wrapper = importlib.import_module("amdsmi.amdsmi_wrapper")
    except (ImportError, OSError, AttributeError, KeyError) as error:
        told = " ".join(said.getvalue().split()) or str(error)
        raise NoAmdError(f"AMD SMI: the package amdsmi finds no library that fits it ({told})") from error
    finally:
        if folder is not None:
            sys.path.remove(folder)
    return smi
