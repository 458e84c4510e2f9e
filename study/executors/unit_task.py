"""Measure the cells of a unit that are not there yet: what a task of a job array does on its node, or a process on its
slot.

On a slot that is ``python -m study.executors.unit_task ORDER``, started by a runner that waits. What the two say to
each other is an order, which is a file of what ``measure`` takes (there may be thousands of cells), and an exit code.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from configs.loader import load_variant
from configs.schema import Study
from server.engines.refusal import refuse_what_cannot_be_served
from server.power.control.board import ControlError
from server.power.meters import available_sources, choose_sources
from server.power.nvidia.inventory import gpu_inventory
from server.process.guard import GUARD
from server.process.spawn import stop_children
from server.process.waiting import took_lock, wait_until
from starwatt_errors import RunError, StarwattError, counted
from study import interrupts
from study.executors.local import LocalExecutor
from study.executors.loop import measure_all
from study.executors.slots import meters_of_this_slot
from study.exit_codes import INTERRUPTED
from study.measure.checkpoints import build_all
from study.measure.remote_engine import check_secrets
from study.measure.study_run import StudyRun
from study.plan.cpus import place
from study.progress.display import tell
from study.records.manifest import host, package_versions, sensor_calibration
from study.records.sessions import refuse_other_variants
from study.records.this_node import of_this_process, this_node
from study.records.variants import frozen
from traces.atomic import read_json, write_json
from traces.attempts import Attempt, note_attempt
from traces.layout import CellKey, RunDir

_CHILDREN_GRACE_S = 10.0
_ENDING_S = 90.0
LOST, END_THE_STUDY = 1, 2
"""Exit codes: cells of this unit could not be measured, or no cell of any can be (a file of the study is wrong)."""


def measure_unit(root: str, unit: str, keys: Sequence[Sequence[Any]], known_reasons: Sequence[str]) -> None:
    """Measure, as a task of a Slurm array, the cells of ``keys`` (model, variant, load, block) that ``root`` lacks.

    Slurm may start it again on another node after it was preempted, or its node was lost: it resumes where it stood.

    Raises:
        RunError: another task measures this unit, or nothing of it can be measured.
        StarwattError: as of a study on one machine.
    """
    lock = RunDir(Path(root)).slurm / f"{unit}.lock"
    measure(root, unit, keys, known_reasons, [str(lock)])


def measure(
    root: str,
    unit: str,
    keys: Sequence[Sequence[Any]],
    known_reasons: Sequence[str],
    locks: Sequence[str],
) -> None:
    """Measure what ``measure_unit`` does, as the only process that holds the files ``locks``; raises as that.

    However it ends, the locks are held until everything that it started has ended too.
    """
    run, wanted = RunDir(Path(root)), {CellKey(*key) for key in keys}
    interrupts.install()  # SIGTERM (preemption, scancel, the time limit, the runner's end) ends it in order
    try:
        with ExitStack() as held:
            for lock in locks:
                held.enter_context(_held(Path(lock)))
            held.callback(stop_children, grace_s=_CHILDREN_GRACE_S)
            study_run = _study_run(run, wanted)
            todo, node = study_run.todo(), this_node()
            tell(f"unit {unit}: {len(todo)} of {counted(len(wanted), 'cell')} left, on {node.name}")
            if todo:
                study = study_run.study
                write_json(run.nodes / f"{node.name}-{unit}.json", _about(study))
                # There already: in the store.
                checkpoints = build_all(study.models, study.own_variants, study.defined)
                try:
                    measure_all(LocalExecutor(study), study_run, checkpoints, tuple(known_reasons))
                except ControlError as error:  # here no cell can be measured: no other try will do better
                    for cell in study_run.todo():
                        note_attempt(run, Attempt.now(cell.key, str(error), cause=error.cause, final=True))
                    raise RunError(str(error)) from error
    except KeyboardInterrupt:
        tell("ended from outside: cancelled, preempted, or at its time limit")
        raise SystemExit(INTERRUPTED) from None


def _study_run(run: RunDir, wanted: Set[CellKey]) -> StudyRun:
    """Return the run's cells that are wanted; on a slot with the meters that see this slot alone.

    Raises:
        UsageError: a variant can't be served here, or is another than when the run began, or a key is missing; of the
            runner's machine it was told beforehand.
    """
    study_run = StudyRun.read(run.study, run.root)
    refuse_other_variants(run, study_run.study)
    study = frozen(study_run.study)
    refuse_what_cannot_be_served(
        tuple(load_variant(name, study.defined) for name in study.own_variants), study.engine
    )
    for variant in study.remote:
        check_secrets(study, variant)
    if of_this_process() is not None:
        study = study.model_copy(update={"meters": meters_of_this_slot(study.meter_settings)})
    return replace(study_run, study=study, cells=[cell for cell in study_run.cells if cell.key in wanted])


@contextmanager
def _held(lock: Path) -> Iterator[None]:
    """Hold a lock that nobody else holds: a process that was thought lost may still be ending, or run."""
    with lock.open("a") as file:
        try:
            if not wait_until(lambda: took_lock(file.fileno()), _ENDING_S, poll_s=0.5):
                raise RunError(f"{lock}: another process still measures there")
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP):  # a file system without locks
                raise
        GUARD.keep(file.fileno())  # were this process killed: until the reaper has ended its engine
        try:
            yield
        finally:
            GUARD.release(file.fileno())


def _about(study: Study) -> dict[str, Any]:
    """Return this node, its boards and their sensors, as ``manifest.json`` has them of one machine."""
    named = (
        "SLURM_JOB_ID",
        "SLURM_ARRAY_JOB_ID",
        "SLURM_ARRAY_TASK_ID",
        "SLURM_JOB_PARTITION",
        "SLURM_RESTART_COUNT",
    )
    machine = host()
    on_a_slot = of_this_process() is not None  # its runner has calibrated all boards of the machine
    return {
        **machine,
        "name": this_node().name,
        "hostname": machine["name"],
        "packages": package_versions(),
        "gpus": [asdict(gpu) for gpu in gpu_inventory()],
        "meters": {"available": available_sources(), "used": choose_sources(study.meter_settings)},
        "sensor_calibration": None if on_a_slot else sensor_calibration(study),
        "cpu_placement": vars(place(study)),
        "slurm": {name: os.environ[name] for name in named if name in os.environ},
    }


def main(path: Path) -> int:
    """Measure what the order at ``path`` says; return the exit code."""
    try:
        measure(**read_json(path))
    except RunError as error:
        tell(f"error: {error}")
        return LOST
    except StarwattError as error:
        tell(f"error: {error}")
        return END_THE_STUDY
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
