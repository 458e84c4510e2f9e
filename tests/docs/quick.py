"""What is changed in a command or a study before it is tried: places that only a reader has, and how long it takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

SECRET = "a-secret-of-the-pages-0123456789"
PLACEHOLDERS = {"…": SECRET}
"""In commands: what a reader fills in."""
PORTS = ("8000", "8001", "9520", "9521", "5557")
"""In commands and studies: each becomes a free one."""
FASTER = {
    "--qps 4": "--qps 24",
    "--qps 1,2,4,8": "--qps 12,24",
    "--requests 48": "--requests 12",
    "--blocks 8": "--blocks 2",
    "--find-rate": "--find-rate --qps 20 --duration 1 --search-for 1",
    "sleep 5": "sleep 1",
}
"""In commands: a load test takes seconds."""
SHORT = {
    "blocks": 1,
    "measure": {"passes": 1, "min_s": 0},
    "phases": {"idle_s": 0.5, "warmup_s": 0, "rest_s": 0.1, "cooldown": None},
}
"""In studies; besides, one model, three tasks, and two settings of the boards."""
SHORT_SEARCH = {"first_qps": 8, "most_qps": 8, "window_s": 1, "search_for_s": 1}
"""In loads that look for their rate."""
SMALL = {"demo": (1, 2)}
"""In studies: how many of their variants and of their loads, each from the first on; unless said, one of each."""


def quick_command(command: str, ports: Mapping[str, int]) -> str:
    """With placeholders filled in, free ports, and short loads."""
    for before, after in (*PLACEHOLDERS.items(), *FASTER.items()):
        command = command.replace(before, after)
    if re.match("starwatt serve (?!.*--port)", command):
        command += " --port 8000"  # as it is without it
    return with_ports(command, ports)


def with_ports(text: str, ports: Mapping[str, int]) -> str:
    """Each port of the pages replaced."""
    return re.sub(rf"\b({'|'.join(PORTS)})\b", lambda found: str(ports[found[0]]), text)


def shorten(path: Path, ports: Mapping[str, int]) -> None:
    """A study file, in its place."""
    study: dict[str, Any] = yaml.safe_load(with_ports(path.read_text(encoding="utf-8"), ports))
    variants, loads = SMALL.get(study["name"], (1, 1))
    study.update(SHORT, models=study["models"][:1], variants=study["variants"][:variants])
    study["loads"] = [
        {**load, **(SHORT_SEARCH if load["kind"] == "find_rate" else {})} for load in study["loads"][:loads]
    ]
    if "board" in study:
        study["board"] = study["board"][:2]
    study["prompts"] = {**study.get("prompts", {}), "tasks": 3}
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
