"""Measure cells on this machine, engine start by engine start."""

from __future__ import annotations

from study.measure.checkpoints import Checkpoints
from study.measure.engine_session import Campaign
from study.measure.order import Order
from study.measure.retries import measure_groups
from study.plan.cells import PlannedCell, by_engine_start
from study.plan.cpus import Placement
from study.plan.lengths import forced_lengths
from study.progress.display import Display
from study.progress.exporter import Exporter


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
