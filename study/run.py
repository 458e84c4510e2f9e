"""Run a study: build what is missing, measure every cell that is missing, then grade and report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from configs.datasets import Dataset
from starwatt_errors import counted
from study.executors.choice import executor_for
from study.executors.executor import Executor
from study.executors.loop import measure_all
from study.grading import grade_cells, ungraded_cells, why_no_sandbox
from study.measure.checkpoints import Checkpoints, build_all
from study.measure.secrets import api_key
from study.measure.study_run import StudyRun
from study.plan.arrivals import keep_arrivals
from study.plan.cells import plan_table
from study.plan.forecast import Forecast, forecast
from study.plan.lengths import forced_lengths
from study.plan.prompts import NO_TESTS, keep_prompts, why_not_graded, words_of_recording
from study.preflight.checks import Preflight, models_of
from study.preflight.outlook import outlook_of, reckoner_of
from study.progress.display import Display, tell
from study.progress.exporter import Exporter
from study.records.disk import told_when_full
from study.records.left_boards import put_back_what_was_left
from study.records.lock import check_folder, locked
from study.records.manifest import build_manifest
from study.records.node_manifests import gather_nodes
from study.records.repeat import WantedStudy
from study.records.run_id import run_id_of
from study.records.sessions import earlier_manifest
from study.records.variants import frozen
from traces.atomic import write_json, write_parquet
from traces.attempts import Attempt
from traces.layout import CellKey, RunDir

if TYPE_CHECKING:  # pandas and scipy take longer than a resume: they wait until there is something to analyse
    from analysis.tables import AnalysisSummary


@dataclass(frozen=True)
class StudyResult:
    """Hold what a finished study leaves."""

    run: RunDir
    report: Path
    summary: AnalysisSummary
    given_up: Mapping[CellKey, Attempt] = field(default_factory=dict)
    """Cells that failed too often, with their last failure."""


def reckoned(study_run: StudyRun) -> StudyRun:
    """Return the study run with the expected times of its cells."""
    models, _ = models_of(study_run.study)
    cells = reckoner_of(study_run, models).estimated(study_run.cells)
    return replace(study_run, cells=cells)


def forecast_study(wanted: WantedStudy) -> Forecast:
    """Forecast what is still to be measured and what it is going to take; starts and writes nothing.

    Raises:
        UsageError: the study file is wrong.
    """
    study_run = StudyRun.read(wanted.file, wanted.out, wanted.blocks)
    executor = executor_for(study_run.study, study_run.run)
    check_folder(study_run.run, study_run.study, wanted.file, grow=wanted.blocks is not None)
    left, todo = study_run.unmeasured(), study_run.todo()
    measured, given_up = len(study_run.cells) - len(left), len(left) - len(todo)
    if not todo and not executor.again():
        return Forecast(measured, given_up)  # on whatever machine: it is only to be read
    Preflight(study_run, executor, api_key(), wanted.allow_board_control).refuse(only_looking=True)
    models, _ = models_of(study_run.study)
    outlook = outlook_of(study_run, reckoner_of(study_run, models), models, todo)
    return forecast(outlook, measured=measured, given_up=given_up)


def run_study(
    wanted: WantedStudy, *, retry_failed: bool = False, metrics_port: int | None = None
) -> StudyResult:
    """Run, or resume, the study of a file; with ``retry_failed``, cells that were given up are tried anew.

    With ``metrics_port`` its state is served there for Prometheus, on loopback, while it measures.

    Raises:
        UsageError: the study file is wrong, or the run directory belongs to another study.
        RunError: another runner measures there, or nothing at all can be measured.
        StarwattError: a build failed, or the disk is full; what was measured stays.
    """
    study_run, grow = StudyRun.read(wanted.file, wanted.out, wanted.blocks), wanted.blocks is not None
    study_run = replace(study_run, repeated=wanted.repeated)
    executor = executor_for(study_run.study, study_run.run)
    check_folder(study_run.run, study_run.study, wanted.file, grow=grow)
    if study_run.todo() or (retry_failed and study_run.unmeasured()):
        if executor.here:
            put_back_what_was_left(tell)
        Preflight(study_run, executor, api_key(), wanted.allow_board_control).refuse(only_looking=False)
        for variant, control in study_run.study.controls.items():
            tell(f"{variant} is also compared with {control}, from which it differs in one thing alone")
    claim = locked(study_run.run, study_run.study, wanted.file, here=executor.here, grow=grow)
    with told_when_full(study_run.run.root), claim:
        _open(study_run, retry_failed=retry_failed)
        ungraded = _ungraded(study_run.dataset)
        if study_run.todo() or executor.is_due():
            with _exported(study_run, metrics_port) as exporter:
                study_run, checkpoints = _built(study_run, executor)
                measure_all(executor, study_run, checkpoints, ungraded, exporter)
        gather_nodes(study_run.run)  # nodes may have measured the last cell after their runner was killed
        result = finish(study_run.run, study_run.dataset, gradable=not ungraded)
        missing = {cell.key for cell in study_run.unmeasured()}
        failed = {key: attempt for key, attempt in study_run.budget.given_up().items() if key in missing}
        return replace(result, given_up=failed)


def _open(study_run: StudyRun, *, retry_failed: bool) -> None:
    """Keep in the run what the study reads from elsewhere."""
    if retry_failed:
        for run in (study_run.run, RunDir(study_run.run.alone)):
            run.attempts.unlink(missing_ok=True)
    if study_run.repeated is not None:
        study_run.repeated.prepare(study_run.run)
    keep_arrivals(study_run.run, study_run.study)
    for load in study_run.study.loads:
        for words in words_of_recording(load):
            tell(f"{load.slug}: {words}")
    keep_prompts(study_run.run, study_run.study.prompts.dataset)


def _ungraded(dataset: Dataset) -> tuple[str, ...]:
    """Return the reason code for which nothing can be graded, told beforehand; empty where all can be."""
    reasons = {NO_TESTS: why_not_graded(dataset)}
    reasons = reasons if reasons[NO_TESTS] else {"sandbox_missing": why_no_sandbox()}
    for code, why in reasons.items():
        if why:
            tell(f"pass@1 will be missing ({code}): {why}")
    return tuple(code for code, why in reasons.items() if why)


@contextmanager
def _exported(study_run: StudyRun, port: int | None) -> Iterator[Exporter | None]:
    if port is None:
        yield None
        return
    with Exporter(study_run.study.name, port) as exporter:
        done = len(study_run.cells) - len(study_run.unmeasured())
        exporter.cells(
            planned=len(study_run.cells), done=done, failed=lambda: len(study_run.budget.given_up())
        )
        tell(f"metrics: {exporter.url}")
        yield exporter


def _built(study_run: StudyRun, executor: Executor) -> tuple[StudyRun, Checkpoints]:
    """Build what is missing, and write plan and manifest; the study run with its expected times."""
    study_run = reckoned(replace(study_run, study=frozen(study_run.study)))
    study, run = study_run.study, study_run.run
    forced_lengths(run, study, study_run.task_ids)  # kept beside the study, or refused
    checkpoints = build_all(study.models, study.own_variants, study.defined)
    Preflight(study_run, executor, api_key()).refuse_prompts_without_room(checkpoints)
    earlier = earlier_manifest(run)
    manifest = build_manifest(study, study_run.dataset, checkpoints, earlier, here=executor.here)
    manifest["run_id"] = run_id_of(run, earlier)
    for change in manifest["sessions"][-1]["changed"]:
        tell(f"changed since this run was last measured: {change}")
    if study_run.repeated is not None:
        manifest = study_run.repeated.compared(manifest)
        for change in manifest["repeats"]["changed"]:
            tell(f"not as in {study_run.repeated.run.root}: {change}")
    write_json(run.manifest, manifest)
    write_parquet(run.plan, plan_table(study_run.cells))
    left = len(study_run.todo())
    if left < len(study_run.cells):
        tell(f"resuming: {left} of {counted(len(study_run.cells), 'cell')} left")
    return study_run, checkpoints


def finish(run: RunDir, dataset: Dataset, *, gradable: bool) -> StudyResult:
    """Grade what is not graded, then make tables and report."""
    from analysis.report import write_report
    from analysis.tables import analyze

    cells = ungraded_cells(run)
    if gradable and cells:
        with Display("grading", 1) as display:
            display.title(counted(len(cells), "cell"))
            grade_cells(
                run, dataset, cells, lambda done, total: display.status(f"{done}/{total} completions")
            )
    summary = analyze(run)
    return StudyResult(run, write_report(run), summary)
