"""``starwatt load --qps 1,2,4``: a load test a rate, each in a folder of its own, and a table of all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from loadgen.spec import LoadSpec
from starwatt_errors import StarwattError, UsageError
from study.cli.answers import print_json
from study.cli.load import Driven, drive
from study.exit_codes import INTERRUPTED
from study.load.called import Called
from study.load.folder import take
from study.load.summary import shown
from study.progress.display import console, tell
from traces.atomic import write_json


def run_sweep(
    specs: Sequence[LoadSpec],
    out: Path,
    meter_at: str | None,
    slo: str | None,
    called: Called,
    *,
    as_json: bool,
) -> int:
    """Drive the loads one after the other into folders in ``out``, and ``out/sweep.json``; returns the worst exit code.

    A load that was interrupted, or in which nothing was completed, ends the sweep.

    Raises:
        UsageError: ``out`` is not empty, or a rate is named twice.
    """
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
    for left in folders[len(done) :]:
        tell(f"not measured: {left}")
    return code


def _table(done: dict[str, Driven]) -> Table:
    table = Table(title="by rate")
    for column in ("load", "requests/s", "TTFT p50", "TTFT p99", "e2e p50", "e2e p99, ms", "J/request"):
        table.add_column(column, justify="left" if column == "load" else "right")
    for folder, driven in done.items():
        metrics: dict[str, Any] = driven.summary["metrics"]
        latencies = [metrics[name][at] for name in ("ttft_ms", "e2e_ms") for at in ("p50", "p99")]
        marked = folder if not driven.code else f"{folder} (see above)"
        table.add_row(marked, *map(shown, (metrics["request_rate"], *latencies, driven.j_per_request)))
    return table
