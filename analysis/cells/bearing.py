"""What of a study and a manifest bears on a single cell: what is known of one holds when blocks are added."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

from analysis.cells.context import Context

_WHOLE = ("gpus", "sensor_calibration", "load", "slo_ms")
_HOSTS = ("host", "meter_host")


def bearing_on_cells(context: Context) -> Context:
    """Leave out of a run's context what no cell is computed from: how many blocks there are, who ran it and when."""
    said = context.manifest
    manifest: dict[str, Any] = {name: said[name] for name in _WHOLE if name in said}
    for name in _HOSTS:
        if isinstance(said.get(name), dict) and said[name]:
            manifest[name] = {"cpus": said[name].get("cpus")}
    study = None if context.study is None else context.study.model_copy(update={"blocks": 1})
    return replace(context, study=study, manifest=manifest, nodes={})


def digest_of(context: Context) -> str:
    """Tell contexts apart in which a cell would be computed otherwise."""
    study = None if context.study is None else context.study.model_dump(mode="json")
    told = json.dumps([study, context.manifest], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()
