"""``starwatt grade``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from study.cli.options import JsonFlag, Quiet, exit_with
from study.exit_codes import INVALID


def grade(
    run_directory: Annotated[Path | None, Argument(metavar="RUN", help="A run directory.")] = None,
    samples: Annotated[
        Path | None, Option(help="evalplus' samples, a file or a folder, instead of a run.")
    ] = None,
    dataset: Annotated[
        str | None,
        Option(help="With --samples: starwatt-24, humaneval+ (unless said), mbpp+, or a .jsonl file."),
    ] = None,
    sanitize: Annotated[
        bool, Option("--sanitize", help="With --samples: evalplus' sanitiser first, as for a run.")
    ] = False,
    unsafe_no_sandbox: Annotated[
        bool,
        Option("--unsafe-no-sandbox", help="Run generated code with all that you may do on this machine."),
    ] = False,
    as_json: JsonFlag = False,
    _quiet: Quiet = False,
) -> None:
    """Grade the measured completions of a run, or a file of samples, in the sandbox."""
    from study.cli import grade as grading

    order = grading.GradeOrder(run_directory, samples, dataset, sanitize, unsafe_no_sandbox)
    exit_with(0 if grading.grade(order, as_json=as_json) else INVALID)
