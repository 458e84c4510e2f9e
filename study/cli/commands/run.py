"""``starwatt run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from study.cli.options import JsonFlag, Quiet, exit_with, refuse

_AllowBoardControl = Annotated[
    bool,
    Option(
        "--allow-board-control",
        help="Let a study with board: set power limits and clocks; they are put back in the end.",
    ),
]


def run(
    context: typer.Context,
    study: Annotated[
        Path | None,
        Argument(metavar="STUDY.yaml", help="A study file, or a preset of configs/studies by its name."),
    ] = None,
    repeat: Annotated[
        Path | None,
        Option(
            "--from",
            metavar="RUN/study.yaml",
            help="Repeat a run, in runs/<study name>-again: same tasks and weights, or it is refused.",
        ),
    ] = None,
    out: Annotated[Path | None, Option(help="Run directory; default runs/<study name>.")] = None,
    blocks: Annotated[
        int | None,
        Option(
            min=1, max=1000, help="Blocks in place of the study's; a run that has fewer gets those it lacks."
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        Option("--dry-run", help="Show the plan and what it takes, refuse what run would, start nothing."),
    ] = False,
    retry_failed: Annotated[
        bool, Option("--retry-failed", help="Try cells anew that had failed too often.")
    ] = False,
    allow_board_control: _AllowBoardControl = False,
    metrics_port: Annotated[
        int | None,
        Option(min=0, max=65535, help="Serve the study's state on loopback for Prometheus; 0: any port."),
    ] = None,
    as_json: JsonFlag = False,
    _quiet: Quiet = False,
) -> None:
    """Run a study; the same command again resumes it.

    A cell that fails is tried again on a new engine; after so many tries (attempts in the study) it is left out,
    the others are measured, and the exit code is 1.
    """
    from study.cli import run as runs
    from study.records.repeat import wanted_study

    wanted = wanted_study(study, repeat, out, blocks, allow_board_control=allow_board_control)
    if dry_run:
        refuse(
            context, ("metrics_port", "retry_failed"), "says nothing of a --dry-run, which measures nothing"
        )
        runs.dry_run(wanted, as_json=as_json)
        return
    exit_with(runs.run(wanted, retry_failed=retry_failed, metrics_port=metrics_port, as_json=as_json))
