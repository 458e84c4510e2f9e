"""``starwatt analyze``, ``report`` and ``verify``: what a run's own files say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from typer import Option

from study.cli.options import JsonFlag, Quiet, RunDirectory, exit_with
from study.exit_codes import INVALID


def analyze(run_directory: RunDirectory, as_json: JsonFlag = False, _quiet: Quiet = False) -> None:
    """Make RUN/tables from the traces; needs no engine and no GPU."""
    from study.cli import results

    exit_with(0 if results.analyze_run(run_directory, as_json=as_json) else INVALID)


def report(
    run_directory: RunDirectory,
    out: Annotated[
        Path | None, Option(help="The page to write, in place of RUN/report.html; RUN is only read.")
    ] = None,
    figures: Annotated[
        Path | None, Option(metavar="DIR", help="Also every figure for a paper, as SVG and PDF.")
    ] = None,
    width: Annotated[
        Literal["single", "double"],
        Option(help="Of those figures: one column of a paper (3.5 inches) or both (7.16)."),
    ] = "double",
    tables: Annotated[
        Path | None, Option(metavar="DIR", help="Also every table, as CSV and Parquet.")
    ] = None,
    price: Annotated[
        str | None,
        Option(
            metavar="TEXT|FILE[:COLUMN]",
            help="What a kWh costs, such as '0.30 EUR/kWh', or a CSV file by the hour: a table of money then.",
        ),
    ] = None,
    carbon: Annotated[
        str | None,
        Option(
            metavar="TEXT|FILE[:COLUMN]",
            help="CO2 equivalent of a kWh, such as 350g/kWh, or a CSV file by the hour: a table of carbon then.",
        ),
    ] = None,
    pue: Annotated[
        float | None, Option(help="What the building draws over what its machines draw, such as 1.2.")
    ] = None,
    zone: Annotated[
        str | None,
        Option(help="Of times in those files that name none: an IANA name, such as Europe/Berlin."),
    ] = None,
    _quiet: Quiet = False,
) -> None:
    """Make RUN/report.html from the tables and traces."""
    from analysis.results.costs import read_factors
    from study.cli import results

    stated = any(factor is not None for factor in (price, carbon, pue, zone))
    factors = read_factors(price, carbon, pue, zone) if stated else None
    results.report(run_directory, out, figures, tables, width=width, factors=factors)


def verify(run_directory: RunDirectory, as_json: JsonFlag = False, _quiet: Quiet = False) -> None:
    """Make every figure of RUN again from its raw files; exit code 3 where one does not hold or is invalid."""
    from study.cli import results

    exit_with(0 if results.verify_run(run_directory, as_json=as_json) else INVALID)
