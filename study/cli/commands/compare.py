"""``starwatt compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from study.cli.options import JsonFlag, Quiet


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN RUN...", help="Run directories, the reference first.")
    ],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("comparison.html"),
    paper: Annotated[
        bool, typer.Option("--paper", help="Set one RUN beside the runs of arXiv 2411.12758 instead.")
    ] = False,
    as_json: JsonFlag = False,
    _quiet: Quiet = False,
) -> None:
    """Set runs against the first one: the same study on two machines, two versions, before and after a change.

    With --paper, one run beside the paper's: the same variant, one request at a time, by the paper's boundaries.
    """
    from study.cli.compare import compare_runs, compare_with_paper

    (compare_with_paper if paper else compare_runs)(runs, out, as_json=as_json)
