"""Name this machine as the records of cells do."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping

from traces.cell import Node
from traces.clock import boot_id

VARIABLE = "STARWATT_SLOT"
"""Names the slot that a process measures on: part of the node's name in records."""


def this_node() -> Node:
    """Name this machine: under Slurm by its node (several may be one machine), else by its host. Where engines are
    measured side by side on one machine, each slot is a node of its own (``host:gpu1``)."""
    name = os.environ.get("SLURMD_NODENAME") or platform.node()
    slot = of_this_process()
    if slot is not None:
        name = f"{name}:{slot}"
    return Node(name=name, boot_id=boot_id(), cpus=len(os.sched_getaffinity(0)))


def slot_of(node: Node | None) -> str | None:
    """Return the slot of this machine that a record names; None where it was measured elsewhere, or on no slot."""
    machine, _, slot = ("", "", "") if node is None else node.name.rpartition(":")
    return slot if machine == this_node().name else None


def of_this_process(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the slot's name; None where this process has the machine for itself."""
    return environment.get(VARIABLE) or None
