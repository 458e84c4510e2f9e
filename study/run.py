"""Runs a study: builds what is missing, measures every cell that is not there yet, then grades and reports."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from analysis.report import write_report
from analysis.tables import AnalysisSummary, analyze
from configs.controls import with_controls
from configs.datasets import Dataset, load_dataset
from configs.loader import dump_study, load_study, load_variant
from configs.schema import Study
from loadgen.prompts import choose_tasks
from server.checkpoints import build_variant
from server.engine import Engine, free_port
from server.engine_spec import EngineSpec
from server.hardware import refuse_what_cannot_be_served
from server.store import Checkpoint, Store, store_root
from starwatt_errors import EngineError, UsageError
from study.cell import Bench, measure_cell, settle
from study.display import Display, tell
from study.grading import grade_cells, ungraded_cells, why_no_sandbox
from study.lengths import forced_lengths
from study.manifest import build_manifest
from study.placement import Placement, place
from study.plan import ENGINE_START_S, PlannedCell, by_engine_start, plan_cells, plan_table
from traces.atomic import write_json, write_parquet, write_text
from traces.layout import RunDir

Checkpoints = dict[tuple[str, str], Checkpoint]


@dataclass(frozen=True)
class StudyResult:
    """What a finished study leaves."""

    run: RunDir
    report: Path
    summary: AnalysisSummary


def run_study(study_file: Path, out: Path | None) -> StudyResult:
    """Run, or resume, the study of a file.

    Raises:
        UsageError: the study file is wrong, or the run directory belongs to another study.
        StarwattError: a build, an engine, a meter or the load generator failed; what was measured stays.
    """
    study = with_controls(load_study(study_file))
    for variant, control in study.controls.items():
        tell(f"{variant} is also set against {control}, which is served as it is")
    refuse_what_cannot_be_served(tuple(load_variant(name) for name in study.variants), study.engine)
    placement = place(study)
    run = RunDir(out if out is not None else Path("runs") / study.name)
    _claim(run, study, study_file)
    dataset = load_dataset(study.prompts.dataset)
    no_sandbox = why_no_sandbox()
    if no_sandbox:
        tell(f"pass@1 will be missing (sandbox_missing): {no_sandbox}")
    tasks = choose_tasks(dataset, study.prompts.tasks, study.seed)
    cells = plan_cells(study, len(tasks))
    lengths = forced_lengths(run, study, [task.task_id for task in tasks])
    todo = [cell for cell in cells if not (run.cell(cell.key) / "cell.json").is_file()]
    if todo:
        checkpoints = build_all(study.models, study.variants)
        write_json(run.manifest, build_manifest(study, dataset, checkpoints))
        write_parquet(run.plan, plan_table(cells))
        reasons = () if no_sandbox is None else ("sandbox_missing",)
        if len(todo) < len(cells):
            tell(f"resuming: {len(cells) - len(todo)} of {len(cells)} cells are there already")
        starts = by_engine_start(todo)
        estimate_s = sum(cell.estimated_s for cell in todo) + len(starts) * ENGINE_START_S
        with Display("cell", len(todo), estimate_s=estimate_s) as display:
            campaign = _Campaign(run, study, checkpoints, placement, reasons, lengths, display)
            for group in starts:
                _measure_on_one_engine(campaign, group)
    return finish(run, dataset, gradable=no_sandbox is None)


def build_all(models: tuple[str, ...], variants: tuple[str, ...]) -> Checkpoints:
    """The checkpoint of every model and variant; nothing is done for those in the store."""
    store = Store(store_root())
    checkpoints: Checkpoints = {}
    with Display("checkpoint", len(models) * len(variants)) as display:
        for model in models:
            for name in variants:
                display.title(f"{model} · {name}")
                checkpoints[model, name] = build_variant(model, load_variant(name), store, display.note)
                display.advance()
    return checkpoints


def finish(run: RunDir, dataset: Dataset, *, gradable: bool) -> StudyResult:
    """Grade what is not graded, then make tables and report."""
    cells = ungraded_cells(run)
    if gradable and cells:
        with Display("grading", 1) as display:
            display.title(f"{len(cells)} cells")
            grade_cells(run, dataset, cells, lambda done, total: display.say(f"{done}/{total} completions"))
    summary = analyze(run)
    return StudyResult(run, write_report(run), summary)


def api_key() -> str | None:
    """The key that servers are started with and that requests carry; by the environment alone."""
    return os.environ.get("STARWATT_API_KEY") or None


def _claim(run: RunDir, study: Study, study_file: Path) -> None:
    """Write ``study.yaml``, or check that the directory belongs to this very study."""
    if run.study.is_file():
        if load_study(run.study) != study:
            raise UsageError(
                f"{run.root} holds another study than {study_file}: give this one another name, or --out another folder"
            )
        return
    if run.root.exists() and any(run.root.iterdir()):
        raise UsageError(f"{run.root} is not empty and holds no study; choose another folder with --out")
    write_text(run.study, dump_study(study))


@dataclass(frozen=True)
class _Campaign:
    """What all engine starts of a study share."""

    run: RunDir
    study: Study
    checkpoints: Checkpoints
    placement: Placement
    known_reasons: tuple[str, ...]
    lengths: dict[str, dict[str, int]]
    """By model's name in paths: tokens of each task's answer, where they are recorded."""
    display: Display


def _measure_on_one_engine(campaign: _Campaign, cells: list[PlannedCell]) -> None:
    first, study, display = cells[0], campaign.study, campaign.display
    spec = EngineSpec(
        model=first.key.model,
        variant=load_variant(first.variant),
        checkpoint=campaign.checkpoints[first.model, first.variant],
        settings=study.engine,
        port=free_port(),
        api_key=api_key(),
        cpus=campaign.placement.engine,
        seed=study.seed,
    )
    log = campaign.run.root / "engines" / f"{first.engine_start:03d}-{first.key.model}-{first.variant}.log"
    display.title(f"starting the engine of {first.variant}")
    with started(spec, log.resolve(), display.say) as engine:
        settle(engine)
        bench = Bench(
            campaign.run,
            study,
            engine,
            api_key(),
            campaign.placement.load,
            display.say,
            campaign.lengths.get(first.key.model),
            (*campaign.known_reasons, *(("random_weights",) if spec.checkpoint.random_weights else ())),
        )
        for index, cell in enumerate(cells):
            display.title(str(cell.key))
            measure_cell(bench, cell)
            display.advance(estimate_s=cell.estimated_s + (ENGINE_START_S if index == 0 else 0.0))


def started(spec: EngineSpec, log: Path, announce: Callable[[str], None]) -> Engine:
    """An engine that answers; it is stopped again where it never does."""
    engine = Engine.start(spec, log)
    try:
        engine.wait_ready(announce)
    except (EngineError, KeyboardInterrupt):
        engine.stop()
        raise
    return engine
