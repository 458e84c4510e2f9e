"""Gather the machines of a run: what each said of itself becomes part of the manifest."""

from __future__ import annotations

from typing import Any

from traces.atomic import read_json, write_json
from traces.layout import RunDir


def gather_nodes(run: RunDir) -> None:
    """Add to ``manifest.json`` what ``nodes/*.json`` and ``engines/*.json`` hold: machines, boards, their sensors.

    ``gpus`` and ``sensor_calibration`` then hold the boards of all machines, by which analysis finds them (a UUID
    is one board's alone); ``nodes`` says which machine has which. Nothing changes where one machine did it all.

    Raises:
        TraceError: one of the files cannot be read.
    """
    hosts = [read_json(path) for path in sorted((run.root / "nodes").glob("*.json"))]
    engines = {path.stem: read_json(path) for path in sorted((run.root / "engines").glob("*.json"))}
    hosts += [engine["host"] for engine in engines.values() if engine.get("host")]
    if not hosts and not engines:
        return
    manifest: dict[str, Any] = read_json(run.manifest)
    whole = {**manifest, **_boards([manifest, *hosts]), "nodes": _nodes(manifest, hosts)}
    if engines:
        hosted = {name: (told.get("host") or {}).get("name") for name, told in engines.items()}
        whole["remote"] = {name: {**told, "host": hosted[name]} for name, told in engines.items()}
    if whole != manifest:
        write_json(run.manifest, whole)


def _boards(machines: list[dict[str, Any]]) -> dict[str, Any]:
    """Gather all machines' boards and sensors; of what else calibration says, the first machine's word counts."""
    boards = {gpu["uuid"]: gpu for machine in machines for gpu in machine.get("gpus") or []}
    calibrations = [machine.get("sensor_calibration") or {} for machine in machines]
    calibration = {name: told for sensors in reversed(calibrations) for name, told in sensors.items()}
    devices = {
        uuid: told for sensors in calibrations for uuid, told in (sensors.get("devices") or {}).items()
    }
    if calibration:
        calibration["devices"] = devices
    return {"gpus": list(boards.values()), "sensor_calibration": calibration or None}


def _nodes(manifest: dict[str, Any], hosts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what each machine said of itself, and the boards that it has been seen with."""
    nodes: dict[str, Any] = dict(manifest.get("nodes") or {})
    for host in hosts:
        known = nodes.get(str(host["name"]), {})
        about = {name: told for name, told in host.items() if name not in ("sensor_calibration", "devices")}
        boards = {*known.get("gpus", []), *(gpu["uuid"] for gpu in host.get("gpus") or [])}
        nodes[str(host["name"])] = {**known, **about, "gpus": sorted(boards)}
    return nodes
