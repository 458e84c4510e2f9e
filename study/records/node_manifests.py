"""The machines of a run: what each said of itself becomes part of the manifest."""

from __future__ import annotations

from typing import Any

from traces.atomic import read_json, write_json
from traces.layout import RunDir


def gather_nodes(run: RunDir) -> None:
    """Add to ``manifest.json`` what ``nodes/*.json`` and ``engines/*.json`` hold: machines, boards, their sensors.

    ``gpus`` and ``sensor_calibration`` then hold the boards of all machines, by which analysis finds them (a UUID
    is one board's alone); ``nodes`` says which machine has which. Nothing changes where one machine did it all.

    Raises:
        TraceError: one of the files does not read.
    """
    hosts = [read_json(path) for path in sorted((run.root / "nodes").glob("*.json"))]
    engines = {path.stem: read_json(path) for path in sorted((run.root / "engines").glob("*.json"))}
    hosts += [engine["host"] for engine in engines.values() if engine.get("host")]
    if not hosts and not engines:
        return
    manifest: dict[str, Any] = read_json(run.manifest)
    before = dict(manifest)
    boards = {gpu["uuid"]: gpu for gpu in manifest.get("gpus") or []}
    calibration = dict(manifest.get("sensor_calibration") or {})
    devices = dict(calibration.get("devices") or {})
    nodes: dict[str, Any] = dict(manifest.get("nodes") or {})
    for host in hosts:
        boards.update({gpu["uuid"]: gpu for gpu in host.get("gpus") or []})
        found = host.get("sensor_calibration") or {}
        calibration = {**found, **calibration}
        devices.update(found.get("devices") or {})
        about = {name: told for name, told in host.items() if name not in ("sensor_calibration", "devices")}
        known = nodes.get(str(host["name"]), {})
        own = {gpu["uuid"] for gpu in host.get("gpus") or []}
        about["gpus"] = sorted(own.union(known.get("gpus", [])))
        nodes[str(host["name"])] = {**known, **about}
    if calibration or devices:
        calibration["devices"] = devices
    manifest.update(gpus=list(boards.values()), sensor_calibration=calibration or None, nodes=nodes)
    if engines:
        manifest["remote"] = {
            name: {field: told for field, told in engine.items() if field != "host"}
            | {"host": (engine.get("host") or {}).get("name")}
            for name, engine in engines.items()
        }
    if manifest != before:
        write_json(run.manifest, manifest)
