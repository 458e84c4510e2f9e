"""What differs in what two runs were asked: where something does, their joules are no measure of each other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from analysis.accuracy.verdicts import UNNAMED
from analysis.compare.gains import GainsBeside
from analysis.keys import Condition, MeterKey
from analysis.opened import OpenedRun
from configs.differences import Change, changes
from configs.loader import LENGTHS, kept_trace
from configs.loads import FindRate, Open

_OF_THE_PROCESSOR = ("cpu", "package", "dram")
"""Boundaries whose joules are the processor's own, so that another processor is another board."""


def asked_otherwise(
    first: OpenedRun, second: OpenedRun, gains: GainsBeside | None, pair: MeterKey | None
) -> tuple[Change, ...]:
    """List what differs in prompts, lengths and tasks, and the boards that were measured where they are others.

    What one of the two does not say is not taken to differ.

    Args:
        first: the reference.
        second: what is compared with it.
        gains: what is known of the boards of both.
        pair: the boundary and source of the joules.
    """
    mine, theirs = _asked(first), _asked(second)
    differing = list(changes(mine, theirs, "prompts")) if mine and theirs else []
    if gains is not None and gains.same_boards is False:
        boards = [_boards(run, uuids) for run, uuids in zip((first, second), gains.boards, strict=True)]
        differing.append(Change("boards", *boards))
    if pair is not None and pair.boundary in _OF_THE_PROCESSOR:
        cpus = [_processor(run) for run in (first, second)]
        differing += [Change("processor", *cpus)] if None not in cpus and cpus[0] != cpus[1] else []
    return tuple(differing)


def tasks_between(names: tuple[str, str], first: OpenedRun, second: OpenedRun) -> str:
    """Say where two runs answered other tasks under one variant and load, of the case that differs most; else nothing.

    One of N requests and one of M over the same data set do, and joules of other tasks are other joules.
    """
    mine, theirs = (_answered(run) for run in (first, second))
    both = {side: mine[side] & theirs[side] for side in mine.keys() & theirs.keys()}
    differ = {side: max(len(mine[side]), len(theirs[side])) - len(both[side]) for side in sorted(both)}
    if not any(differ.values()):
        return ""
    side = max(differ, key=differ.__getitem__)
    count = len(theirs[side])
    return (
        f"{names[1]} answered {count} task{'s' if count != 1 else ''} of {side.variant} under {side.load}, {names[0]} "
        f"{len(mine[side])}, and both {len(both[side])} of these: what tasks differ by is in the ratios"
    )


def _answered(run: OpenedRun) -> dict[Condition, frozenset[str]]:
    """Find which tasks were answered, by condition; a condition of which some answer names no task is left out."""
    tasks: dict[Condition, set[str]] = {}
    for row in run.rows("accuracy"):
        tasks.setdefault(Condition.of(row), set()).add(row["task_id"])
    return {side: frozenset(found) for side, found in tasks.items() if UNNAMED not in found}


def _asked(run: OpenedRun) -> dict[str, Any]:
    """Return the prompts as the study or the load test names them, by content and not by where their files lay."""
    study, spec = run.context.study, run.context.manifest.get("load")
    prompts: dict[str, Any] = {}
    if study is not None:
        prompts, seed = study.prompts.model_dump(mode="json"), str(study.seed)
    elif isinstance(spec, Mapping) and isinstance(spec.get("prompts"), Mapping):
        prompts, seed = dict(spec["prompts"]), str(spec.get("seed"))
    if not prompts:
        return prompts
    if run.dataset.get("sha256"):
        prompts["dataset"] = (
            f"{run.dataset.get('name') or prompts.get('dataset')} (sha256 {run.dataset['sha256']})"
        )
    if isinstance(prompts.get("tasks"), int):
        prompts["tasks"] = f"{prompts['tasks']}, drawn by seed {seed}"
    prompts |= _traces(run)
    prompts |= _objectives(run)
    lengths = run.dir.root / LENGTHS
    if isinstance(prompts.get("output"), dict) and "recorded" in prompts["output"] and lengths.is_file():
        prompts["output"] = {"recorded": f"sha256 {hashlib.sha256(lengths.read_bytes()).hexdigest()}"}
    return prompts


def _traces(run: OpenedRun) -> dict[str, str]:
    """Digests of the files that loads replay, as the run keeps them."""
    study = run.context.study
    loads = (
        [load for load in study.loads if isinstance(load, Open) and load.trace] if study is not None else []
    )
    kept = {f"trace of {load.slug}": run.dir.root / kept_trace(load) for load in loads}
    return {
        name: f"sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for name, path in kept.items()
        if path.is_file()
    }


def _objectives(run: OpenedRun) -> dict[str, str]:
    """Return what each load that looks for its rate keeps: by other arrivals or bounds a rate is another thing."""
    study = run.context.study
    loads = [load for load in study.loads if isinstance(load, FindRate)] if study is not None else []
    return {f"objective of {load.slug}": _objective(load, run.context.searched[load.slug]) for load in loads}


def _objective(load: FindRate, bounds_ms: Mapping[str, float]) -> str:
    capped = "" if load.max_in_flight is None else f", {load.max_in_flight} in flight at most"
    bounds = ", ".join(f"{name} {ms:g} ms" for name, ms in bounds_ms.items())
    return f"{load.share:g} of requests within {bounds} ({load.arrivals} arrivals{capped})"


def _boards(run: OpenedRun, uuids: tuple[str, ...]) -> str:
    """Names of boards where the manifest has them, and what tells them apart."""
    names = {str(gpu.get("uuid")): gpu.get("name") for gpu in run.context.gpus}
    return ", ".join(f"{names[uuid]} ({uuid})" if names.get(uuid) else uuid for uuid in uuids)


def _processor(run: OpenedRun) -> str | None:
    cpu = run.context.host.get("cpu")
    return cpu if isinstance(cpu, str) else None
