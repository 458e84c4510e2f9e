"""Modules of this package for an interpreter that has no access to it, or that must not load all of it."""

from __future__ import annotations

import sys
from pathlib import Path

_FOLDER = Path(__file__).parent
_AS_TEXT = """
import sys, types
for name in ("analysis", "analysis.grading"):
    sys.modules[name] = types.ModuleType(name)
for name, text in {texts!r}.items():
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec", dont_inherit=True), module.__dict__)
for name in ("analysis", "analysis.grading", *{names!r}):
    del sys.modules[name]
module.main()
"""
_FROM_DISK = """
import sys, types
sys.path[:] = {path!r}
for name, folder in {folders!r}.items():
    package = sys.modules[name] = types.ModuleType(name)
    package.__path__ = [folder]
from analysis.grading.{module} import main
main()
"""


def as_text(*modules: str) -> str:
    """A program that runs ``main`` of the last of these modules; each may import those before it.

    Nothing is left of their names for what runs there to import.
    """
    texts = {
        f"analysis.grading.{name}": (_FOLDER / f"{name}.py").read_text(encoding="utf-8") for name in modules
    }
    return _AS_TEXT.format(texts=texts, names=tuple(texts))


def from_disk(module: str) -> str:
    """A program that runs ``main`` of a module and loads, of this package, only what that imports."""
    folders = {"analysis": str(_FOLDER.parent), "analysis.grading": str(_FOLDER)}
    return _FROM_DISK.format(path=sys.path, folders=folders, module=module)
