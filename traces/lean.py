"""Keep a process that runs beside a measured engine small."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec


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
