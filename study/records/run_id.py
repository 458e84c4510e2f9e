"""Name a run in its cells, so that those of another run of the same study are told from its own."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from starwatt_errors import TraceError
from traces.atomic import read_json
from traces.cell import read_cell
from traces.layout import RunDir


def new_run_id() -> str:
    """Draw sixteen hexadecimal digits that no other run has."""
    return secrets.token_hex(8)


def run_id_of(run: RunDir, earlier: Mapping[str, Any] | None) -> str:
    """Return the id in the earlier manifest; where that is lost, that of the first cell with one; else a new one."""
    known = earlier.get("run_id") if earlier is not None else None
    if isinstance(known, str):
        return known
    for key in run.finished_cells():
        try:
            borne = read_cell(run.cell(key)).run_id
        except TraceError:  # the analysis names it
            continue
        if borne is not None:
            return borne
    return new_run_id()


def known_run_id(run: RunDir) -> str | None:
    """Return what the manifest says; None where it says nothing."""
    try:
        manifest = read_json(run.manifest)
    except TraceError:
        return None
    run_id = manifest.get("run_id") if isinstance(manifest, dict) else None
    return run_id if isinstance(run_id, str) else None
