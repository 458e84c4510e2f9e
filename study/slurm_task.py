"""What a task of the job array does on its node: it measures its cells, those that are not there yet."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from configs.schema import Study
from server.power.inventory import gpu_inventory
from server.power.meters import available_sources, choose_sources
from server.processes import stop_children
from starwatt_errors import RunError
from study import interrupts
from study.display import tell
from study.exit_codes import INTERRUPTED
from study.manifest import host, package_versions, sensor_calibration
from study.node import this_node
from study.placement import place
from study.run import Order, build_all, measure_here
from traces.atomic import write_json
from traces.layout import CellKey, RunDir

_CHILDREN_GRACE_S = 10.0
_ENDING_S = 90.0


def measure_unit(root: str, unit: str, keys: Sequence[Sequence[Any]], known_reasons: Sequence[str]) -> None:
    """Measure the cells of ``keys`` (model, variant, load, block) that ``root`` lacks.

    Slurm may start it again on another node after it was preempted, or its node was lost: it goes on where it stood.

    Raises:
        RunError: another task measures this unit, or nothing of it can be measured.
        StarwattError: as of a study on one machine.
    """
    interrupts.install()  # SIGTERM (preemption, scancel, the time limit) ends it in order
    run = RunDir(Path(root))
    try:
        with _held(run, unit):
            order = Order.read(run.study, run.root, on_a_node=True)
            wanted = {CellKey(*key) for key in keys}
            todo = [cell for cell in order.todo() if cell.key in wanted]
            node = this_node()
            tell(f"unit {unit}: {len(todo)} of {len(wanted)} cells are left, on {node.name}")
            if todo:
                write_json(run.nodes / f"{node.name}-{unit}.json", _about(order.study))
                study = order.study
                checkpoints = build_all(study.models, study.own_variants)  # there already: in the store
                measure_here(order, place(study), tuple(known_reasons), todo, checkpoints)
    except KeyboardInterrupt:
        tell("ended from outside: cancelled, preempted, or at its time limit")
        raise SystemExit(INTERRUPTED) from None
    finally:
        stop_children(grace_s=_CHILDREN_GRACE_S)


@contextmanager
def _held(run: RunDir, unit: str) -> Iterator[None]:
    """No second task measures this unit: one that was thought lost may still be ending, or run."""
    path = run.slurm / f"{unit}.lock"
    deadline = time.monotonic() + _ENDING_S
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RunError(f"{path}: another task still measures this unit") from None
                time.sleep(0.5)
                continue
            except OSError as error:
                if error.errno not in (errno.ENOLCK, errno.ENOTSUP):  # a file system without locks
                    raise
            break
        yield


def _about(study: Study) -> dict[str, Any]:
    """This node, its boards and their sensors, as ``manifest.json`` has them of one machine."""
    named = (
        "SLURM_JOB_ID",
        "SLURM_ARRAY_JOB_ID",
        "SLURM_ARRAY_TASK_ID",
        "SLURM_JOB_PARTITION",
        "SLURM_RESTART_COUNT",
    )
    machine = host()
    return {
        **machine,
        "name": this_node().name,
        "hostname": machine["name"],
        "packages": package_versions(),
        "gpus": [asdict(gpu) for gpu in gpu_inventory()],
        "meters": {"available": available_sources(), "used": choose_sources(study.meter_settings)},
        "sensor_calibration": sensor_calibration(study),
        "cpu_placement": vars(place(study)),
        "slurm": {name: os.environ[name] for name in named if name in os.environ},
    }
