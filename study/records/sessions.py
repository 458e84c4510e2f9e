"""Compare a resumed run with what it was: which machine, driver or version is another, and what must not be."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from analysis.runs.provenance import read_manifest
from configs.differences import differences
from configs.schema import Study
from starwatt_errors import TraceError, UsageError
from study.records.variants import changed_variants, variants_as_run
from traces.layout import RunDir

_MUST_STAY = ("dataset", "models")
_MAY_CHANGE = ("host", "gpus", "packages", "git", "meters", "cpus")
_CLOCKS = {"monotonic_ns", "realtime_ns"}
_MOST_KEPT = 1000


def earlier_manifest(run: RunDir) -> dict[str, Any] | None:
    """Return what the last runner of this directory wrote; None where none did, or a kill of the machine damaged it."""
    try:
        return dict(read_manifest(run))
    except TraceError:
        return None


def continued(manifest: dict[str, Any], earlier: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return ``manifest`` with ``sessions``: one entry for each runner, with what changed since the one before.

    Raises:
        UsageError: tasks, a model's weights, or what a variant is, are not those of the cells that were measured.
    """
    session: dict[str, Any] = {
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        "boot_id": manifest["host"]["boot_id"],
        "changed": [],
    }
    if earlier is None:
        return {**manifest, "sessions": [session]}
    swapped = swapped_since(earlier, manifest)
    if swapped:
        raise UsageError(
            "this run was begun with other tasks, weights or variants:\n"
            + "\n".join(f"  {line}" for line in swapped)
            + "\nCells of both can't be mixed: restore them, or --out another folder."
        )
    session["changed"] = changed_since(earlier, manifest)
    manifest = {**{name: earlier[name] for name in ("repeats", "run_id") if name in earlier}, **manifest}
    return {**manifest, "sessions": [*earlier.get("sessions", []), session][-_MOST_KEPT:]}


def known_calibration(
    host: Mapping[str, Any], gpus: Any, earlier: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """Return the sensors' calibration of the last runner, where boards, driver and boot are still those; else None."""
    if earlier is None or earlier.get("gpus") != gpus or not isinstance(earlier.get("host"), dict):
        return None
    same_boot = earlier["host"].get("boot_id") == host["boot_id"]
    calibration = earlier.get("sensor_calibration")
    return calibration if same_boot and isinstance(calibration, dict) else None


def swapped_since(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what must not differ between two runners whose cells are compared, and does."""
    return [*_changed(_MUST_STAY, earlier, now), *changed_variants(earlier, now)]


def refuse_other_variants(run: RunDir, study: Study) -> None:
    """Say before anything is built or started that a variant's or a setting's file is not as this run was begun.

    Raises:
        UsageError: one differs in more than its description; nothing is raised of a run that does not say.
    """
    earlier = earlier_manifest(run)
    changed = changed_variants(earlier or {}, {"variants": variants_as_run(study)})
    if changed:
        raise UsageError(
            f"{run.root} was begun with variants that are others by now:\n"
            + "\n".join(f"  {line}" for line in changed)
            + "\nCells of both can't be mixed: take the change back (configs/variants, configs/settings, or a file "
            "that these name), give what is new a name of its own, or --out another folder. What is measured is read "
            "by `starwatt analyze` and `starwatt report`."
        )


def changed_since(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what may differ, and does."""
    return _changed(_MAY_CHANGE, earlier, now)


def _changed(names: tuple[str, ...], earlier: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [
        line
        for name in names
        for line in differences(_without_clocks(earlier.get(name)), _without_clocks(now.get(name)), name)
    ]


def _without_clocks(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    return {name: value for name, value in part.items() if name not in _CLOCKS}
