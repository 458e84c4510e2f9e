"""Modules of this package for an interpreter that has no access to it, or that must not load all of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).parents[3]
_AS_TEXT = """
import sys, types
for name in {packages!r}:
    sys.modules[name] = types.ModuleType(name)
for name, text in {texts!r}.items():
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec", dont_inherit=True), module.__dict__)
for name in {packages!r} + {names!r}:
    del sys.modules[name]
module.main()
"""
_FROM_DISK = """
import sys, types
sys.path[:] = {path!r}
for name, folder in {folders!r}.items():
    package = sys.modules[name] = types.ModuleType(name)
    package.__path__ = [folder]
from {module} import main
main()
"""


def as_text(*modules: str) -> str:
    """Return a program that runs ``main`` of the last of these modules of one package; each may import those before it.

    Nothing is left of their names for what runs there to import.
    """
    texts = {name: _path(name).with_suffix(".py").read_text(encoding="utf-8") for name in modules}
    return _AS_TEXT.format(texts=texts, names=modules, packages=tuple(_packages(modules[-1])))


def from_disk(module: str) -> str:
    """Return a program that runs ``main`` of a module and loads, of its packages, only what that imports."""
    folders = {name: str(_path(name)) for name in _packages(module)}
    return _FROM_DISK.format(path=sys.path, folders=folders, module=module)


def _packages(module: str) -> Iterator[str]:
    parts = module.split(".")
    return (".".join(parts[:length]) for length in range(1, len(parts)))


def _path(name: str) -> Path:
    return _ROOT.joinpath(*name.split("."))
