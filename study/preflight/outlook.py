"""Put together what ``--dry-run`` tells: the plan in words, what is still to be done, and what it is going to take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from configs.loader import load_architecture, load_variant
from configs.loads import FindRate
from configs.restarts import Resident
from configs.schema import Study
from server.build.foresight import Known, likely_shape
from server.build.store import Store, store_root
from server.power.nvidia.inventory import Gpu
from starwatt_errors import counted
from study.executors.choice import executor_for
from study.measure.study_run import StudyRun
from study.plan.cells import PlannedCell, shortest_search_s
from study.plan.forecast import Outlook, span_words
from study.plan.lengths import lengths_of
from study.plan.preparation import Preparation, preparation, size_words, sizes
from study.plan.rates import Hardware
from study.plan.reckoning import Reckoner
from study.plan.span import NOTHING, Span

_CALIBRATED_S = Span(3.0, 45.0)
"""Of one board: without a load, and with eighteen steps of one."""


def reckoner_of(study_run: StudyRun, models: Mapping[str, Known]) -> Reckoner:
    """Return what tells how long each cell takes.

    Raises:
        UsageError: recorded lengths cannot be read.
    """
    study, tasks = study_run.study, study_run.tasks
    lengths = lengths_of(study_run.run, study, [task.task_id for task in tasks])
    hardware = executor_for(study, study_run.run).site().hardware
    shapes = {
        model: models[model].shape if model in models else likely_shape(model) for model in study.models
    }
    return Reckoner(study, tasks, shapes, lengths, hardware)


def outlook_of(
    study_run: StudyRun, reckoner: Reckoner, models: Mapping[str, Known], todo: Sequence[PlannedCell]
) -> Outlook:
    """Return what a forecast of ``todo`` is made from; how many cells are there already is not looked at."""
    study = study_run.study
    executor = executor_for(study, study_run.run)
    boards, at_once = executor.site().boards, executor.at_once
    prepared = preparation(study, models, Store(store_root()), on_gpu=reckoner.hardware.on_gpu)
    return Outlook(
        units=[unit.cells for unit in executor.units(todo)],
        reckoner=reckoner,
        limits_w=[board.power_limit_w for board in boards],
        at_once=study.blocks * len(study.models) * len(study.variants) if at_once is None else at_once,
        after=executor.again() if at_once != 1 or isinstance(study.engine_restarts, Resident) else (),
        preparation=prepared,
        graded=study_run.dataset.has_tests and not _know_nothing(study),
        calibration=_CALIBRATED_S * len(boards),
        cooldown=_cooldown(study, boards),
        plan=tuple(_plan(study, prepared, reckoner.hardware)),
        doubts=tuple(_doubts(models)),
    )


def _know_nothing(study: Study) -> bool:
    """Say whether a model has random weights: its answers are not graded."""
    made = [load_architecture(model) for model in study.models]
    return any(architecture is not None and architecture.weights.kind == "random" for architecture in made)


def _cooldown(study: Study, boards: Sequence[Gpu]) -> Span:
    wanted = study.phases.cooldown
    return Span(0.0, wanted.timeout_s / 3) if boards and wanted is not None else NOTHING


def _plan(study: Study, prepared: Preparation, hardware: Hardware) -> Iterator[str]:
    """Name models, variants, loads, controls; what is fetched and built, and the disk that it takes."""
    yield f"models: {', '.join(study.models)}"
    yield f"variants: {', '.join(_served(study, name) for name in study.variants)}"
    if study.controls:
        yield "controls: " + "; ".join(
            f"{variant} is also compared with {control}" for variant, control in study.controls.items()
        )
    loads = [load.slug for load in (*study.loads, *(load for load, _ in study.probe_loads))]
    yield f"loads: {', '.join(loads)}, in {counted(study.blocks, 'block')}, on {hardware.words}"
    yield from _searches(study)
    if not study.own_variants:
        return
    fetched = [step for step in prepared.steps if step.kind == "fetch"]
    yield f"to download: {sizes(fetched) or 'nothing'}"
    yield f"to build: {sizes(step for step in prepared.steps if step.kind != 'fetch') or 'nothing'}"
    if prepared.steps:
        more = " and what is not known" if prepared.unknown else ""
        free = size_words(prepared.free_bytes)
        yield f"disk for that: {size_words(prepared.disk_bytes)}{more}, of {free} that are free"


def _searches(study: Study) -> Iterator[str]:
    for load in study.loads:
        if isinstance(load, FindRate):
            searches = span_words(Span(shortest_search_s(load), load.search_for_s))
            yield f"{load.slug}: each of its cells looks for its own rate, {searches}, and is measured at it"


def _served(study: Study, name: str) -> str:
    """Name a variant, with what serves it where that is not vLLM with graphs."""
    if name in study.remote:
        return f"{name} (at {study.remote[name].url})"
    variant = load_variant(name, study.defined)
    if variant.engine == "transformers":
        return f"{name} (transformers)"
    eager = study.engine.enforce_eager or variant.enforce_eager
    return f"{name} (vLLM, eager)" if eager else f"{name} (vLLM)"


def _doubts(models: Mapping[str, Known]) -> Iterator[str]:
    for name, known in models.items():
        if known.doubt is not None:
            yield (
                f"not known: whether {name} can be had: it is not in the hub's cache, and the hub does not answer "
                f"({known.doubt}); run is going to fail there"
            )
        if known.shape is None:
            yield f"not known: how large {name} is: time is reckoned as of a model with 7 B parameters"
