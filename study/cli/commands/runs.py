"""``starwatt runs``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument

from study.cli.options import JsonFlag


def runs(
    folder: Annotated[Path, Argument(metavar="[FOLDER]", help="Where the runs lie.")] = Path("runs"),
    as_json: JsonFlag = False,
) -> None:
    """List what was measured here: each run's state, its size, and the first sentence of its answer."""
    from study.cli.runs import list_runs

    list_runs(folder, as_json=as_json)
