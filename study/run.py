"""Runs a study: builds what is missing, measures every cell that is not there yet, then grades and reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from configs.controls import with_controls
from configs.datasets import Dataset, Task, load_dataset
from configs.executor import SideBySide
from configs.loader import load_study, load_variant, refused
from configs.schema import Study
from loadgen.prompts import choose_tasks
from server.checkpoints import build_variant
from server.hardware import refuse_what_cannot_be_served
from server.store import Store, store_root
from starwatt_errors import UsageError
from study.arrivals import keep_arrivals
from study.campaign import Campaign, Checkpoints, api_key
from study.claim import check_folder, claimed
from study.disk import told_when_full
from study.display import Display, tell
from study.exporter import Exporter
from study.forecast import Forecast, forecast, nothing_left
from study.grading import grade_cells, ungraded_cells, why_no_sandbox
from study.lengths import forced_lengths
from study.manifest import build_manifest
from study.named import check_devices, check_lengths, check_models, check_tasks
from study.neighbours import check_cells
from study.nodes import gather_nodes
from study.outlook import outlook_of, reckoner_of
from study.persistence import Patience, measure_groups
from study.placement import Placement, place
from study.plan import PlannedCell, by_engine_start, plan_cells, plan_table
from study.preflight import Preflight, models_of
from study.prompts import NO_TESTS, as_asked, keep_prompts, why_not_graded
from study.remote import check_secrets
from study.repeat import Repeated
from study.run_id import run_id_of
from study.sessions import earlier_manifest
from study.side_by_side import Machine, check_is_due
from study.slurm import Cluster
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


@dataclass(frozen=True)
class Order:
    """A study file, read, and what it comes to in its run directory."""

    study: Study
    run: RunDir
    dataset: Dataset
    cells: list[PlannedCell]
    repeated: Repeated | None = None
    """The run whose study it is, where it is run again."""
    file: Path = Path()
    """The study's."""

    @classmethod
    def read(cls, study_file: Path, out: Path | None, *, on_a_node: bool = False) -> Order:
        """Raises UsageError where the file is wrong, or a node can't serve a variant, or lacks a key.

        Of a machine that is no node all of that is told at once, by ``preflight``.
        """
        study = load_study(study_file)
        try:
            study = with_controls(study)
        except UsageError as error:
            raise refused(study_file, ("variants",), str(error).removeprefix("variants: ")) from error
        run = RunDir(out if out is not None else Path("runs") / study.name)
        if on_a_node:
            own = tuple(load_variant(name) for name in study.own_variants)
            refuse_what_cannot_be_served(own, study.engine)
            for variant in study.remote:
                check_secrets(study, variant)
        check_models(study_file, study)
        dataset = load_dataset(study.prompts.dataset)
        tasks = cls.tasks_of(study, dataset)
        cells = plan_cells(as_asked(study, run), len(tasks))
        order = cls(study, run, dataset, cells, file=study_file)
        if order.unmeasured():
            check_tasks(study_file, study, dataset)
            check_lengths(study_file, study, run, tasks)
            check_devices(study_file, study)
        return order

    @staticmethod
    def tasks_of(study: Study, dataset: Dataset) -> list[str]:
        """The tasks that are asked, in their order."""
        return [task.task_id for task in choose_tasks(dataset, study.prompts.tasks, study.seed)]

    @property
    def preflight(self) -> Preflight:
        """Whether it can work, before anything of it is done."""
        return Preflight(self.file, self.study, self.run, self.dataset, self.tasks, api_key())

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What is asked, in its order."""
        return tuple(choose_tasks(self.dataset, self.study.prompts.tasks, self.study.seed))

    def reckoned(self) -> Order:
        """The same with the expected times of its cells."""
        models, _ = models_of(self.study)
        cells = reckoner_of(self.study, self.run, self.tasks, models).estimated(self.cells)
        return replace(self, cells=cells)

    @property
    def patience(self) -> Patience:
        """How often its cells are tried."""
        return Patience(self.run, self.study.attempts)

    def unmeasured(self) -> list[PlannedCell]:
        """Cells whose ``cell.json`` is not there."""
        return [cell for cell in self.cells if not (self.run.cell(cell.key) / "cell.json").is_file()]

    def todo(self) -> list[PlannedCell]:
        """Of those, the ones that have not failed too often."""
        given_up = self.patience.given_up()
        return [cell for cell in self.unmeasured() if cell.key not in given_up]


def forecast_study(study_file: Path, out: Path | None) -> Forecast:
    """What is still to be measured, and what it is going to take; starts and writes nothing.

    Raises:
        UsageError: the study file is wrong.
    """
    order = Order.read(study_file, out)
    check_folder(order.run, order.study, study_file)
    left, todo = order.unmeasured(), order.todo()
    counted = {"measured": len(order.cells) - len(left), "given_up": len(left) - len(todo)}
    if not todo and not check_cells(order.study, order.run):
        return nothing_left(**counted)  # on whatever machine: it is only to be read
    order.preflight.refuse(only_looking=True)
    models, _ = models_of(order.study)
    reckoner = reckoner_of(order.study, order.run, order.tasks, models)
    outlook = outlook_of(order.study, order.run, order.dataset, reckoner, models, todo)
    return forecast(outlook, **counted)


def run_study(
    study_file: Path,
    out: Path | None,
    *,
    retry_failed: bool = False,
    metrics_port: int | None = None,
    repeated: Repeated | None = None,
) -> StudyResult:
    """Run, or resume, the study of a file; with ``retry_failed``, cells that were given up are tried anew.

    With ``repeated`` it is the study of that run, and the manifest says what is not as it was there.

    With ``metrics_port`` its state is served there for Prometheus, on loopback, while it measures.

    Raises:
        UsageError: the study file is wrong, or the run directory belongs to another study.
        RunError: another runner measures there, or nothing at all can be measured.
        StarwattError: a build failed, or the disk is full; what was measured stays.
    """
    order = replace(Order.read(study_file, out), repeated=repeated)
    check_folder(order.run, order.study, study_file)
    if order.todo() or (retry_failed and order.unmeasured()):
        order.preflight.refuse(only_looking=False)
        for variant, control in order.study.controls.items():
            tell(f"{variant} is also set against {control}, which is served as it is")
    placement = place(order.study) if order.study.executor == "local" else None
    with told_when_full(order.run.root), claimed(order.run, order.study, study_file):
        if retry_failed:
            for run in (order.run, RunDir(order.run.alone)):
                run.attempts.unlink(missing_ok=True)
        if repeated is not None:
            repeated.prepare(order.run)
        keep_arrivals(order.run, order.study)
        keep_prompts(order.run, order.study.prompts.dataset)
        ungraded = _ungraded(order.dataset)
        if order.todo() or check_is_due(order.study, order.run):
            with _exported(order, metrics_port) as exporter:
                _measure(order, placement, ungraded, exporter)
        gather_nodes(order.run)  # nodes may have measured the last cell after their runner was killed
        result = finish(order.run, order.dataset, gradable=not ungraded)
        missing = {cell.key for cell in order.unmeasured()}
        failed = {key: attempt for key, attempt in order.patience.given_up().items() if key in missing}
        return replace(result, given_up=failed)


def _ungraded(dataset: Dataset) -> tuple[str, ...]:
    """The reason code for which nothing can be graded, told beforehand; empty where all can be."""
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
        exporter.cells(planned=len(order.cells), done=done, failed=lambda: len(order.patience.given_up()))
        tell(f"metrics: {exporter.url}")
        yield exporter


def _measure(
    order: Order, placement: Placement | None, known_reasons: tuple[str, ...], exporter: Exporter | None
) -> None:
    """Build what is missing, and measure every cell that is not there yet: here, or by the nodes of a cluster."""
    order = order.reckoned()
    study, run, todo = order.study, order.run, order.todo()
    forced_lengths(run, study, order.tasks_of(study, order.dataset))  # kept beside the study, or refused
    checkpoints = build_all(study.models, study.own_variants)
    order.preflight.refuse_prompts_without_room(checkpoints)
    earlier = earlier_manifest(run)
    manifest = build_manifest(study, order.dataset, checkpoints, earlier)
    manifest["run_id"] = run_id_of(run, earlier)
    for change in manifest["sessions"][-1]["changed"]:
        tell(f"changed since this run was last measured: {change}")
    if order.repeated is not None:
        manifest = order.repeated.compared(manifest)
        for change in manifest["repeats"]["changed"]:
            tell(f"not as in {order.repeated.run.root}: {change}")
    write_json(run.manifest, manifest)
    write_parquet(run.plan, plan_table(order.cells))
    if len(todo) < len(order.cells):
        tell(f"resuming: {len(todo)} of {len(order.cells)} cells are left")
    if placement is not None:
        measure_here(order, placement, known_reasons, todo, checkpoints, exporter)
        return
    with Display("cell", len(todo)) as display:

        def measured(cell: PlannedCell) -> None:
            display.title(str(cell.key))
            display.advance()
            if exporter is not None:
                exporter.measured()

        elsewhere = Machine if isinstance(study.executor, SideBySide) else Cluster
        elsewhere(run, study, order.patience, known_reasons, display.note, display.say, measured).measure(
            todo
        )


def measure_here(
    order: Order,
    placement: Placement,
    known_reasons: tuple[str, ...],
    todo: list[PlannedCell],
    checkpoints: Checkpoints,
    exporter: Exporter | None = None,
) -> None:
    """Measure these cells on this machine."""
    study, run = order.study, order.run
    lengths = forced_lengths(run, study, order.tasks_of(study, order.dataset))
    starts = by_engine_start(todo)
    estimate_s = sum(cell.estimated_s for cell in todo) + sum(group[0].start_s for group in starts)
    with Display("cell", len(todo), estimate_s=estimate_s) as display:
        campaign = Campaign(run, study, checkpoints, placement, known_reasons, lengths, display, exporter)
        measure_groups(starts, campaign.open_engine, order.patience, display.note)


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
    from analysis.report import write_report
    from analysis.tables import analyze

    cells = ungraded_cells(run)
    if gradable and cells:
        with Display("grading", 1) as display:
            display.title(f"{len(cells)} cells")
            grade_cells(run, dataset, cells, lambda done, total: display.say(f"{done}/{total} completions"))
    summary = analyze(run)
    return StudyResult(run, write_report(run), summary)
