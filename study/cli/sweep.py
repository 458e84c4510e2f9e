"""``starwatt load --qps 1,2,4``: a load test a rate, each in a folder of its own, and a table of all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from loadgen.spec import LoadSpec
from starwatt_errors import StarwattError, UsageError
from study.cli.answers import print_json
from study.cli.load import Driven, drive, run_load_test
from study.exit_codes import INTERRUPTED
from study.load.called import Called
from study.load.folder import take
from study.load.summary import shown
from study.progress.display import console, tell
from traces.atomic import write_json

_SEE_ABOVE = " *"


def run_loads(
    specs: Sequence[LoadSpec],
    out: Path,
    meter_at: str | None,
    slo: str | None,
    called: Called,
    *,
    as_json: bool,
) -> int:
    """Drive one load into ``out``, or several one after the other; returns the (worst) exit code.

    Several lie in folders of ``out``, with ``out/sweep.json``; one that was interrupted, or in which nothing was
    completed, ends them.

    Raises:
        UsageError: ``out`` is not empty, or a rate is named twice.
    """
    if len(specs) == 1:
        return run_load_test(specs[0], out, meter_at, slo, called, as_json=as_json)
    folders = [spec.load.slug for spec in specs]
    if len(set(folders)) < len(folders):
        raise UsageError(f"--qps: names a rate twice ({', '.join(folders)})")
    take(out)
    done: dict[str, Driven] = {}
    code = 0
    for folder, spec in zip(folders, specs, strict=True):
        done[folder] = drive(spec, out / folder, meter_at, slo, called)
        code = max(code, done[folder].code) if code != StarwattError.exit_code else code
        if done[folder].code in (INTERRUPTED, StarwattError.exit_code):
            code = done[folder].code
            break
    write_json(out / "sweep.json", [{"folder": folder, **driven.summary} for folder, driven in done.items()])
    if as_json:
        print_json([{"folder": folder, **driven.summary} for folder, driven in done.items()])
    else:
        console.print(_table(done))
        tell(
            f"written: {out / 'sweep.json'}, and a run for each rate (starwatt report {out / next(iter(done))})"
        )
    for left in folders[len(done) :]:
        tell(f"not measured: {left}")
    return code


def _table(done: dict[str, Driven]) -> Table:
    """Lay out a row a rate; joules only where one has some, so that a narrow terminal keeps the rest."""
    joules = any(driven.j_per_request is not None for driven in done.values())
    table = Table(title="by rate; latencies in ms", caption=_caption(done))
    for column in ("offered/s", "requests/s", "TTFT p50", "p99", "e2e p50", "p99", *["J/request"] * joules):
        table.add_column(column, justify="right", no_wrap=True)
    for driven in done.values():
        metrics: dict[str, Any] = driven.summary["metrics"]
        latencies = [metrics[name][at] for name in ("ttft_ms", "e2e_ms") for at in ("p50", "p99")]
        rate = f"{driven.summary['load']['qps']:g}{_SEE_ABOVE * (driven.code != 0)}"
        figures = (metrics["request_rate"], *latencies, *[driven.j_per_request] * joules)
        table.add_row(rate, *map(shown, figures))
    return table


def _caption(done: dict[str, Driven]) -> str | None:
    return f"{_SEE_ABOVE.strip()} see above" if any(driven.code for driven in done.values()) else None
