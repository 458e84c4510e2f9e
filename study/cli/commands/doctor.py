"""``starwatt doctor`` prints what it found: with ``--json`` one document and nothing else, whatever fails."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout

from rich.table import Table
from rich.text import Text

from starwatt_errors import StarwattError
from study import interrupts
from study.cli.answers import print_json
from study.cli.options import JsonFlag, exit_with
from study.doctor.findings import Finding
from study.progress.display import console, tell


def doctor(as_json: JsonFlag = False) -> None:
    """Say what this machine can do: GPUs, meters, engine, sandbox, datasets, disk."""
    exit_with(tell_findings(as_json=as_json))


def tell_findings(*, as_json: bool) -> int:
    """Print the findings; returns the exit code, 1 where one is failed."""
    with redirect_stdout(sys.stderr):  # a library that prints when it is imported
        findings = _findings()
    if as_json:
        print_json([vars(finding) for finding in findings])
    else:
        table = Table(show_header=False)
        for finding in findings:
            words = "\n".join(filter(None, (finding.detail, finding.remedy)))
            table.add_row(finding.what, finding.state, Text(words))  # not markup: it may hold brackets
        console.print(table)
    failed = [finding.what for finding in findings if finding.state == "failed"]
    if not failed:
        return 0
    tell(f"starwatt: to mend: {', '.join(failed)}", style="red")
    return StarwattError.exit_code


def _findings() -> list[Finding]:
    """Return all findings, or what keeps starwatt itself from being imported."""
    try:
        from study.doctor.checks import examine
    except (Exception, SystemExit) as error:  # becomes a finding: whatever an import raises
        if interrupts.struck():
            raise
        words = f"cannot be imported: {type(error).__name__}: {error}"
        return [Finding("starwatt", "failed", words, "make a new environment: make clean setup")]
    return examine()
