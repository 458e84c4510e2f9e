"""``starwatt analyze``, ``report`` and ``verify``: what a run's own files say, and how it is told.

The analysis is imported where it begins: pandas and scipy take longer than everything else that a command starts with.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from starwatt_errors import UsageError, counted
from study.cli.answers import print_json
from study.cli.options import make_folder
from study.exit_codes import INVALID
from study.progress.display import Display, tell
from study.records.existing import existing
from traces.layout import RunDir

if TYPE_CHECKING:
    from analysis.opened import OpenedRun
    from analysis.results.costs import Factors
    from analysis.results.points import Results
    from analysis.tables import AnalysisSummary
    from analysis.verify.run import Verification

_MOST_NAMED = 6
"""Stretches of blocks in one line."""


def analyze_run(run_directory: Path, *, as_json: bool) -> bool:
    """Make the tables and print what they say; returns whether every cell is valid."""
    from analysis.tables import analyze

    run_dir = existing(run_directory)
    with Display("analyzing", 1) as display:
        display.title(str(run_directory))
        summary = analyze(run_dir, lambda done, total: display.status(f"{done}/{total} cells"))
    tell_answer(run_dir, summary, as_json=as_json)
    return not summary.invalid


def report(
    run_directory: Path,
    out: Path | None,
    figures: Path | None,
    tables: Path | None,
    *,
    width: Literal["single", "double"] = "double",
    factors: Factors | None = None,
) -> None:
    """Write the report, and what else is asked for, and print where it is."""
    from analysis.opened import open_run
    from analysis.report import write_report
    from analysis.report.elsewhere import analysed
    from analysis.report.export import export_figures, export_tables
    from analysis.results.left_out import left_out
    from analysis.results.placed import placed

    named = existing(run_directory)
    if out is not None and out.is_dir():
        raise UsageError(f"--out {out}: takes a file, such as {out / named.report.name}")
    for flag, folder in (("--figures", figures), ("--tables", tables)):
        if folder is not None:
            make_folder(flag, folder)
    with nullcontext(named) if out is None else analysed(named) as run:
        factors = None if factors is None else placed(open_run(run), factors)
        written = [write_report(run, out, factors)]
        written += export_figures(run, figures, width) if figures is not None else []
        written += export_tables(run, tables, factors) if tables is not None else []
        for words in left_out(run):
            tell(words)
    for path in written:
        print(path)  # noqa: T201


def verify_run(run_directory: Path, *, as_json: bool) -> bool:
    """Recompute the run from its raw files and print what does not hold; returns whether all does."""
    from analysis.verify.run import verify

    run_dir = existing(run_directory)
    with Display("verifying", 1) as display:
        display.title(str(run_directory))
        verification = verify(run_dir, lambda done, total: display.status(f"{done}/{total} cells"))
    if as_json:
        findings = [vars(finding) for finding in verification.findings]
        remarks = {"remarks": list(verification.remarks)} if verification.remarks else {}
        sums = {"ok": verification.ok, "cells": verification.cells, "requests": verification.requests}
        print_json({**sums, "findings": findings, **remarks})
        return verification.ok
    for finding in verification.findings:
        kind = "" if finding.what.endswith(f"({finding.kind})") else f" ({finding.kind})"
        tell(f"{finding.where}: {finding.what}{kind}")
    for remark in verification.remarks:
        tell(remark)
    tell(_verified_in_sum(verification))
    return verification.ok


def _verified_in_sum(verification: Verification) -> str:
    """Say what holds: all, all but cells that are not to be believed, or what was not named."""
    sums = f"{counted(verification.cells, 'cell')}, {counted(verification.requests, 'measured request')}"
    if verification.ok:
        return f"{sums}: all figures follow from the traces, and none is invalid"
    if {finding.kind for finding in verification.findings} == {"invalid_cell"}:
        valid = verification.cells - len({finding.where for finding in verification.findings})
        holds = f"{valid} of {counted(verification.cells, 'cell')} {'is' if valid == 1 else 'are'} valid"
        return f"{sums}: all figures follow from the traces; {holds}"
    return f"{sums}: what is not named above follows from the traces"


def tell_answer(run_dir: RunDir, summary: AnalysisSummary, *, as_json: bool) -> None:
    """Tell the answer in words, and what is invalid."""
    from analysis.opened import OpenedRun
    from analysis.results.answers import ANSWERED_BY
    from analysis.results.headline import headline_of
    from analysis.results.points import read_results

    run = OpenedRun(run_dir)
    results = read_results(run, metrics=ANSWERED_BY)
    lines = headline_of(results)
    if as_json:
        print_json(
            {
                "cells": summary.cells,
                "measured": summary.measured,
                "invalid": [
                    {"cell": str(cell.key), "reasons": list(cell.reasons), "problem": cell.problem}
                    for cell in summary.invalid
                ],
                "headline": [vars(line) for line in lines],
                "report": str(run_dir.report),
            }
        )
        return
    for words in _answers(run, results) or [line.text for line in lines]:
        tell(words)
    tell_invalid(summary)


def _answers(run: OpenedRun, results: Results) -> list[str]:
    """Return what the report says first: a line a question, model by model."""
    from analysis.results.answers import answer_between, answers_in

    between = answer_between(run, results)
    of = {model: f"{model}: " if len(results.models) > 1 else "" for model in results.models}
    every = [(of[model], answer) for model in results.models for answer in answers_in(run, results, model)]
    return [
        f"{name}{answer.question} {'. '.join(answer.sentences)}."
        for name, answer in [*([("", between)] if between else []), *every]
    ]


def tell_invalid(summary: AnalysisSummary) -> None:
    """Tell a line for all blocks of a variant and load of which the same is to be said."""
    from analysis.validity.reasons import in_words

    alike: dict[tuple[str, str], list[int]] = {}
    for cell in summary.invalid:
        told = (
            in_words(code, cell.problem if code in ("trace_damaged", "not_measured") else None)
            for code in cell.reasons
        )
        side = f"{cell.key.model} · {cell.key.variant} · {cell.key.load}"
        alike.setdefault((side, "; ".join(told)), []).append(cell.key.block)
    for (side, why), blocks in alike.items():
        tell(f"not to be believed: {side} · {_blocks(blocks)}: {why}")
    for warning in summary.warnings:
        tell(warning)


def tell_how_to_measure_again(run_dir: RunDir, summary: AnalysisSummary) -> None:
    """Tell how many cells are valid, and how those that are not are measured again; nothing where all are."""
    from analysis.validity.reasons import scope_of

    if not summary.invalid:
        return
    valid = summary.cells - len(summary.invalid)
    said = (
        f"{valid} of {counted(summary.cells, 'cell')} {'is' if valid == 1 else 'are'} valid (exit code {INVALID}: "
        "measured, and invalid in part)"
    )
    again = [
        cell.key
        for cell in summary.invalid
        if run_dir.is_measured(cell.key) and any(scope_of(code) != "accuracy" for code in cell.reasons)
    ]
    if again:
        folders = [shlex.quote(str(run_dir.cell(key))) for key in again]
        removed = (
            f"rm -r {' '.join(folders)}"
            if len(folders) <= _MOST_NAMED
            else f"remove the folders of those that are named above, below {run_dir.cells}"
        )
        said += (
            f"; to measure the other{'' if len(again) == 1 else 's'} again: {removed}, then the same command"
        )
    tell(said)


def _blocks(numbers: Sequence[int]) -> str:
    """Name blocks in ascending order, those that follow each other by the first and the last."""
    stretches = groupby(enumerate(numbers), key=lambda placed: placed[1] - placed[0])
    runs = [[number for _, number in stretch] for _, stretch in stretches]
    named = [f"b{run[0]}" if len(run) == 1 else f"b{run[0]} to b{run[-1]}" for run in runs]
    left = sum(map(len, runs[_MOST_NAMED:]))
    return ", ".join(named[:_MOST_NAMED]) + (f" and {left} more" if left else "")
