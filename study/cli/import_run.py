"""``starwatt import``: imports, and prints what comes of it."""

from __future__ import annotations

from configs.loads import load_called
from study.cli.answers import print_json
from study.cli.results import tell_invalid
from study.exit_codes import INVALID
from study.imported.run import ImportOrder, import_run
from study.load.summary import energy_words
from study.progress.display import tell


def import_and_tell(order: ImportOrder, *, as_json: bool) -> int:
    """Import, analyse and report; returns the exit code."""
    from analysis.report import write_report
    from analysis.results.headline import headline
    from analysis.tables import analyze

    run, cells = import_run(order)
    summary = analyze(run)
    report = write_report(run)
    code = INVALID if summary.invalid else 0
    if as_json:
        print_json(
            {
                "run": str(run.root),
                "cells": [{"cell": str(cell.key), **cell.imported.model_dump(mode="json")} for cell in cells],
                "invalid": [
                    {"cell": str(cell.key), "reasons": list(cell.reasons)} for cell in summary.invalid
                ],
                "report": str(report),
            }
        )
        return code
    for cell in cells:
        about = cell.imported
        tell(f"{cell.key}: {cell.requests.num_rows} requests from {about.tool}; {about.clock}")
        tell(f"{cell.key}: not known: {', '.join(about.unknown)}")
    if order.load is not None and load_called(order.load) is None:
        tell(
            f"--load {order.load}: not one of the usual names (single-stream, closed-8, open-4-poisson), so it is a "
            "load of its own: nothing says how its requests were offered, and no other name is compared with it"
        )
    for words in energy_words(run) if summary.cells == 1 else [line.text for line in headline(run)]:
        tell(words)
    tell(f"report: {report}")
    tell_invalid(summary)
    return code
