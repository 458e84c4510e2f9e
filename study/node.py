"""Which machine this is, as the records of cells name it."""

from __future__ import annotations

import os
import platform

from study.slots import of_this_process
from traces.cell import Node
from traces.clock import boot_id


def this_node() -> Node:
    """Under Slurm by its name there (several of its nodes may be one machine), else by the host's; of engines that are
    measured side by side on one machine each slot is a node of its own (``host:gpu1``)."""
    name = os.environ.get("SLURMD_NODENAME") or platform.node()
    slot = of_this_process()
    if slot is not None:
        name = f"{name}:{slot}"
    return Node(name=name, boot_id=boot_id(), cpus=len(os.sched_getaffinity(0)))
