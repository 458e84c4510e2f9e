"""Puts together what ``--dry-run`` tells: the plan in words, what is still to be done, and what it is going to take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from configs.datasets import Dataset, Task
from configs.executor import SideBySide, Slurm
from configs.loader import load_architecture, load_variant
from configs.schema import Cpus, Study
from server.build.foresight import Known, likely_shape
from server.build.store import Store, store_root
from server.power.inventory import Gpu, gpu_inventory
from study.executors.interference import check_cells
from study.executors.slots import slots_of
from study.executors.units import units_of
from study.plan.cells import PlannedCell
from study.plan.cpus import place
from study.plan.forecast import Outlook
from study.plan.lengths import lengths_of
from study.plan.preparation import Preparation, preparation, size_words, sizes
from study.plan.rates import Hardware, boards_for, cpus_for
from study.plan.reckoning import Reckoner
from study.plan.span import NOTHING, Span
from traces.layout import RunDir

_CALIBRATED_S = Span(3.0, 45.0)
"""Of one board: without a load, and with eighteen steps of one."""


def reckoner_of(study: Study, run: RunDir, tasks: Sequence[Task], models: Mapping[str, Known]) -> Reckoner:
    """What tells how long each cell takes.

    Raises:
        UsageError: recorded lengths do not read.
    """
    lengths = lengths_of(run, study, [task.task_id for task in tasks])
    shapes = {
        model: models[model].shape if model in models else likely_shape(model) for model in study.models
    }
    return Reckoner(study, tasks, shapes, lengths, hardware_of(study))


def outlook_of(
    study: Study,
    run: RunDir,
    dataset: Dataset,
    reckoner: Reckoner,
    models: Mapping[str, Known],
    todo: Sequence[PlannedCell],
) -> Outlook:
    """What a forecast of ``todo`` is made from; how many cells are there already is not looked at."""
    boards = _boards(study)
    prepared = preparation(study, models, Store(store_root()), on_gpu=reckoner.hardware.on_gpu)
    return Outlook(
        units=[todo] if study.executor == "local" else [unit.cells for unit in units_of(study, todo)],
        reckoner=reckoner,
        limits_w=[board.power_limit_w for board in boards],
        at_once=_at_once(study),
        after=check_cells(study, run) if _at_once(study) > 1 else (),
        preparation=prepared,
        graded=dataset.has_tests and not _know_nothing(study),
        calibration=_CALIBRATED_S * len(boards),
        cooldown=_cooldown(study, boards),
        plan=tuple(_plan(study, prepared, reckoner.hardware)),
        doubts=tuple(_doubts(models)),
    )


def hardware_of(study: Study) -> Hardware:
    """What one engine of a study computes on."""
    if isinstance(study.executor, Slurm):
        boards, cpus = study.executor.gpus > 0, study.executor.cpus
        return boards_for((), study.engine) if boards else cpus_for(cpus)
    if study.remote:
        return boards_for((), study.engine)
    names = [gpu.name for gpu in gpu_inventory()]
    if isinstance(study.executor, SideBySide):
        slot = slots_of(study)[0]
        return boards_for(names, study.engine) if slot.boards else cpus_for(len(slot.cpus))
    if names:
        return boards_for(names, study.engine)
    cpus_of_engine = study.cpus.engine if isinstance(study.cpus, Cpus) else place(study).engine
    return cpus_for(None if cpus_of_engine is None else len(cpus_of_engine))


def _boards(study: Study) -> list[Gpu]:
    """Those of this machine that its engines compute on; other machines' are not known."""
    if not study.measured_here or study.remote:
        return []
    chosen = study.meter_settings.gpus
    here = [gpu for gpu in gpu_inventory() if chosen is None or gpu.uuid in chosen]
    return here[: study.engine.tensor_parallel] if study.executor == "local" else here


def _at_once(study: Study) -> int:
    if isinstance(study.executor, SideBySide):
        return len(slots_of(study))
    if isinstance(study.executor, Slurm):
        return study.executor.at_once or study.blocks * len(study.models) * len(study.variants)
    return 1


def _know_nothing(study: Study) -> bool:
    """Whether a model has random weights: its answers are not graded."""
    made = [load_architecture(model) for model in study.models]
    return any(one is not None and one.weights.kind == "random" for one in made)


def _cooldown(study: Study, boards: Sequence[Gpu]) -> Span:
    wanted = study.phases.cooldown
    return Span(0.0, wanted.timeout_s / 3) if boards and wanted is not None else NOTHING


def _plan(study: Study, prepared: Preparation, hardware: Hardware) -> Iterator[str]:
    """Models, variants, loads, controls; what is fetched and built, and the disk that it takes."""
    yield f"models: {', '.join(study.models)}"
    yield f"variants: {', '.join(_served(study, name) for name in study.variants)}"
    if study.controls:
        yield "controls: " + "; ".join(
            f"{one} is also set against {other}" for one, other in study.controls.items()
        )
    loads = [load.slug for load in (*study.loads, *(load for load, _ in study.probe_loads))]
    yield f"loads: {', '.join(loads)}, in {study.blocks} blocks, on {hardware.words}"
    if not study.own_variants:
        return
    fetched = [step for step in prepared.steps if step.kind == "fetch"]
    yield f"to download: {sizes(fetched) or 'nothing'}"
    yield f"to build: {sizes(step for step in prepared.steps if step.kind != 'fetch') or 'nothing'}"
    if prepared.steps:
        more = " and what is not known" if prepared.unknown else ""
        free = size_words(prepared.free_bytes)
        yield f"disk for that: {size_words(prepared.disk_bytes)}{more}, of {free} that are free"


def _served(study: Study, name: str) -> str:
    """A variant, with what serves it where that is not vLLM with graphs."""
    if name in study.remote:
        return f"{name} (at {study.remote[name].url})"
    variant = load_variant(name)
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
