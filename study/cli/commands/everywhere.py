"""Flags of ``starwatt`` itself: its version."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

_PROJECT = Path(__file__).resolve().parents[3] / "pyproject.toml"


def version() -> str:
    """Return the version that is installed; in a checkout that is not, its own."""
    try:
        return metadata.version("starwatt")
    except metadata.PackageNotFoundError:
        import tomllib

        said: str = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]["version"]
        return said


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"starwatt {version()}")  # noqa: T201
        raise typer.Exit


def everywhere(
    _version: Annotated[
        bool,
        Option("--version", callback=_print_version, is_eager=True, help="Print the version, and end."),
    ] = False,
) -> None:
    """Take the flags before the command."""
