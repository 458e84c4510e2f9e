"""Of ``starwatt verify``: what of an imported run can be checked, and what has to be taken for true."""

from __future__ import annotations

from collections.abc import Iterator

from starwatt_errors import TraceError
from traces.cell import read_cell
from traces.layout import RunDir


def imported_remarks(run: RunDir) -> Iterator[str]:
    """Yield a sentence for each cell that others measured, and one for all of them; nothing where there is none."""
    any_imported = False
    for key in run.finished_cells():
        try:
            about = read_cell(run.cell(key)).imported
        except TraceError:  # named already: trace_damaged
            continue
        if about is None:
            continue
        any_imported = True
        files = [about.requests, *(log.file for log in about.logs)]
        named = ", ".join(f"{file.name} (sha256 {file.sha256})" for file in files)
        yield f"imported: {key}: by {' '.join(filter(None, (about.tool, about.version)))}, from {named}; {about.clock}"
    if any_imported:
        yield (
            "imported: checked: that figures follow from the traces, and these are as they were imported; not checked: "
            "that the files named above hold what happened, that the stated clocks are right, and what nobody recorded "
            "(keep the files: import them again, and the traces must be the same)"
        )
