"""Make captured files fixtures: without paths and platforms of the machine, and without what nobody reads of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

_PATH = re.compile(r"/[\w.+-]+(?:/[\w.+-]+)+")
_PLACES = ("tokenizer_id", "tokenizer", "artifacts", "run_info", "platform", "environment", "api_routes")


def scrub(path: Path) -> None:
    """Rewrite a tool's file in its place; aiperf's sums beside it too."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    _rewrite(path, [_slim(one) for one in lines])
    for summary in path.parent.glob("profile_export_aiperf.json"):
        told = json.loads(summary.read_text(encoding="utf-8"))
        kept = {
            name: told.get(name)
            for name in ("schema_version", "aiperf_version", "input_config", "request_count")
        }
        _rewrite(summary, [_slim(kept)])


def _rewrite(path: Path, objects: list[Any]) -> None:
    path.write_text("".join(json.dumps(one) + "\n" for one in objects), encoding="utf-8")


def _slim(data: Any) -> Any:
    if isinstance(data, dict):
        return {
            name: _of_a_field(name, value) for name, value in data.items() if not name.startswith("http_req_")
        }
    return [_slim(one) for one in data] if isinstance(data, list) else data


def _of_a_field(name: str, value: Any) -> Any:
    if name in _PLACES:
        return "scrubbed"
    if name == "request_args" and isinstance(value, str):
        return _PATH.sub("/scrubbed", value)
    if name == "metrics" and isinstance(value, dict) and "request_totals" in value:
        return {"request_totals": value["request_totals"]}
    return _slim(value)
