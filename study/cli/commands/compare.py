"""``starwatt compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from study.cli.options import JsonFlag, Quiet, exit_with, refuse


def compare(
    context: typer.Context,
    runs: Annotated[list[Path], Argument(metavar="RUN RUN...", help="Run directories, the reference first.")],
    out: Annotated[Path, Option(help="The page to write.")] = Path("comparison.html"),
    paper: Annotated[
        bool, Option("--paper", help="Set one RUN beside the runs of arXiv 2411.12758 instead.")
    ] = False,
    fail_above: Annotated[
        str | None,
        Option(metavar="PERCENT", help="Exit code 4 where a run is worse than the first by more than this."),
    ] = None,
    metric: Annotated[str, Option(help="The metric that --fail-above looks at.")] = "j_per_request",
    strict: Annotated[
        bool,
        Option("--strict", help="With --fail-above: pass only where the whole interval is within."),
    ] = False,
    summary: Annotated[
        Path | None, Option(help="With --fail-above: write the verdicts here, as Markdown.")
    ] = None,
    as_json: JsonFlag = False,
    _quiet: Quiet = False,
) -> None:
    """Set runs against the first one: the same study on two machines, two versions, before and after a change.

    With --fail-above, a gate for CI: exit code 4 where the interval of a condition lies beyond the bound, 3 where
    nothing can be said. With --paper, one run beside the paper's: the same variant, one request at a time, by the
    paper's boundaries.
    """
    from study.cli.compare import compare_runs, compare_with_paper
    from study.cli.gate import GateFlags

    if paper:
        refuse(context, ("fail_above", "metric", "strict", "summary"), "says nothing with --paper")
        compare_with_paper(runs, out, as_json=as_json)
        return
    if fail_above is None:
        refuse(context, ("metric", "strict", "summary"), "says nothing without --fail-above")
    asked = None if fail_above is None else GateFlags.read(fail_above, metric, strict=strict, summary=summary)
    exit_with(compare_runs(runs, out, as_json=as_json, asked=asked))
