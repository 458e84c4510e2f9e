"""Keep a process that runs beside a measured engine small, and its start short."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec


@contextmanager
def importing_what_stays() -> Iterator[None]:
    """Look for no reference cycles meanwhile: a tenth of what importing takes, and modules do not go away."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def keep_pandas_out() -> None:
    """Make pandas missing in this process: pyarrow's first conversion would import it where it is installed.

    That takes a quarter of a CPU second and 34 MiB, in each sidecar and load generator beside a measured engine.
    A None in ``sys.modules`` would not do: pyarrow takes it for pandas, and fails.
    """
    sys.meta_path.insert(0, _NoPandas())


class _NoPandas(MetaPathFinder):
    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is kept out of this process", name=fullname)
        return None
