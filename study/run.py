"""Runs a study: builds what is missing, measures every cell that is missing, then grades and reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from configs.datasets import Dataset
from study.executors.choice import executor_for
from study.executors.executor import Executor
from study.executors.loop import measure_all
from study.grading import grade_cells, ungraded_cells, why_no_sandbox
from study.measure.checkpoints import Checkpoints, build_all
from study.measure.order import Order
from study.measure.secrets import api_key
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
from study.records.repeat import Repeated
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
    """What a finished study leaves."""

    run: RunDir
    report: Path
    summary: AnalysisSummary
    given_up: Mapping[CellKey, Attempt] = field(default_factory=dict)
    """Cells that failed too often, with their last failure."""


def reckoned(order: Order) -> Order:
    """Return the order with the expected times of its cells."""
    models, _ = models_of(order.study)
    cells = reckoner_of(order.study, order.run, order.tasks, models).estimated(order.cells)
    return replace(order, cells=cells)


def forecast_study(
    study_file: Path, out: Path | None, blocks: int | None = None, *, allow_board_control: bool = False
) -> Forecast:
    """Forecast what is still to be measured and what it is going to take; starts and writes nothing.

    Raises:
        UsageError: the study file is wrong.
    """
    order = Order.read(study_file, out, blocks)
    executor = executor_for(order.study, order.run)
    check_folder(order.run, order.study, study_file, grow=blocks is not None)
    left, todo = order.unmeasured(), order.todo()
    measured, given_up = len(order.cells) - len(left), len(left) - len(todo)
    if not todo and not executor.again():
        return Forecast(measured, given_up)  # on whatever machine: it is only to be read
    Preflight(order, executor, api_key(), allow_board_control).refuse(only_looking=True)
    models, _ = models_of(order.study)
    reckoner = reckoner_of(order.study, order.run, order.tasks, models)
    outlook = outlook_of(order.study, order.run, order.dataset, reckoner, models, todo)
    return forecast(outlook, measured=measured, given_up=given_up)


def run_study(
    study_file: Path,
    out: Path | None,
    *,
    retry_failed: bool = False,
    metrics_port: int | None = None,
    repeated: Repeated | None = None,
    blocks: int | None = None,
    allow_board_control: bool = False,
) -> StudyResult:
    """Run, or resume, the study of a file; with ``retry_failed``, cells that were given up are tried anew.

    With ``repeated`` it is the study of that run, and the manifest says what is not as it was there.

    With ``blocks``, in place of the study's own, a run that has fewer gets those that it lacks.

    With ``allow_board_control`` it may set boards, where it asks for that; without, it is refused.

    With ``metrics_port`` its state is served there for Prometheus, on loopback, while it measures.

    Raises:
        UsageError: the study file is wrong, or the run directory belongs to another study.
        RunError: another runner measures there, or nothing at all can be measured.
        StarwattError: a build failed, or the disk is full; what was measured stays.
    """
    order, grow = replace(Order.read(study_file, out, blocks), repeated=repeated), blocks is not None
    executor = executor_for(order.study, order.run)
    check_folder(order.run, order.study, study_file, grow=grow)
    if order.todo() or (retry_failed and order.unmeasured()):
        if executor.here:
            put_back_what_was_left(tell)
        Preflight(order, executor, api_key(), allow_board_control).refuse(only_looking=False)
        for variant, control in order.study.controls.items():
            tell(f"{variant} is also compared with {control}, from which it differs in one thing alone")
    claim = locked(order.run, order.study, study_file, here=executor.here, grow=grow)
    with told_when_full(order.run.root), claim:
        _open(order, retry_failed=retry_failed)
        ungraded = _ungraded(order.dataset)
        if order.todo() or executor.is_due():
            with _exported(order, metrics_port) as exporter:
                order, checkpoints = _built(order, executor)
                measure_all(executor, order, checkpoints, ungraded, exporter)
        gather_nodes(order.run)  # nodes may have measured the last cell after their runner was killed
        result = finish(order.run, order.dataset, gradable=not ungraded)
        missing = {cell.key for cell in order.unmeasured()}
        failed = {key: attempt for key, attempt in order.budget.given_up().items() if key in missing}
        return replace(result, given_up=failed)


def _open(order: Order, *, retry_failed: bool) -> None:
    """Keep in the run what the study reads from elsewhere."""
    if retry_failed:
        for run in (order.run, RunDir(order.run.alone)):
            run.attempts.unlink(missing_ok=True)
    if order.repeated is not None:
        order.repeated.prepare(order.run)
    keep_arrivals(order.run, order.study)
    for load in order.study.loads:
        for words in words_of_recording(load):
            tell(f"{load.slug}: {words}")
    keep_prompts(order.run, order.study.prompts.dataset)


def _ungraded(dataset: Dataset) -> tuple[str, ...]:
    """Return the reason code for which nothing can be graded, told beforehand; empty where all can be."""
    reasons = {NO_TESTS: why_not_graded(dataset)}
    reasons = reasons if reasons[NO_TESTS] else {"sandbox_missing": why_no_sandbox()}
    for code, why in reasons.items():
        if why:
            tell(f"pass@1 will be missing ({code}): {why}")
    return tuple(code for code, why in reasons.items() if why)


@contextmanager
def _exported(order: Order, port: int | None) -> Iterator[Exporter | None]:
    if port is None:
        yield None
        return
    with Exporter(order.study.name, port) as exporter:
        done = len(order.cells) - len(order.unmeasured())
        exporter.cells(planned=len(order.cells), done=done, failed=lambda: len(order.budget.given_up()))
        tell(f"metrics: {exporter.url}")
        yield exporter


def _built(order: Order, executor: Executor) -> tuple[Order, Checkpoints]:
    """Build what is missing, and write plan and manifest; the order with its expected times."""
    order = reckoned(replace(order, study=frozen(order.study)))
    study, run = order.study, order.run
    forced_lengths(run, study, order.task_ids)  # kept beside the study, or refused
    checkpoints = build_all(study.models, study.own_variants, study.defined)
    Preflight(order, executor, api_key()).refuse_prompts_without_room(checkpoints)
    earlier = earlier_manifest(run)
    manifest = build_manifest(study, order.dataset, checkpoints, earlier, here=executor.here)
    manifest["run_id"] = run_id_of(run, earlier)
    for change in manifest["sessions"][-1]["changed"]:
        tell(f"changed since this run was last measured: {change}")
    if order.repeated is not None:
        manifest = order.repeated.compared(manifest)
        for change in manifest["repeats"]["changed"]:
            tell(f"not as in {order.repeated.run.root}: {change}")
    write_json(run.manifest, manifest)
    write_parquet(run.plan, plan_table(order.cells))
    left = len(order.todo())
    if left < len(order.cells):
        tell(f"resuming: {left} of {len(order.cells)} cells are left")
    return order, checkpoints


def finish(run: RunDir, dataset: Dataset, *, gradable: bool) -> StudyResult:
    """Grade what is not graded, then make tables and report."""
    from analysis.report import write_report
    from analysis.tables import analyze

    cells = ungraded_cells(run)
    if gradable and cells:
        with Display("grading", 1) as display:
            display.title(f"{len(cells)} cells")
            grade_cells(
                run, dataset, cells, lambda done, total: display.status(f"{done}/{total} completions")
            )
    summary = analyze(run)
    return StudyResult(run, write_report(run), summary)
