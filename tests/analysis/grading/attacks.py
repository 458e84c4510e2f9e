"""All hostile programs that aim at the machine, at limits and at the grader, in the order of their kinds."""

from __future__ import annotations

from tests.analysis.grading.programs.attack import Attack
from tests.analysis.grading.programs.grader import (
    COMPARING,
    DESCRIPTORS,
    INSPECTION,
    LEAVING,
    OUTLIVING,
    PATCHING,
    PICKLES,
    RANK,
)
from tests.analysis.grading.programs.limits import BOMBS, LOOPS, OUTPUT, SIGNALS
from tests.analysis.grading.programs.outside import ENVIRONMENT, FILES, LINKS, NETWORK, PROC, PTRACE

ATTACKS: tuple[Attack, ...] = tuple(
    NETWORK + FILES + LINKS + ENVIRONMENT + PROC + PTRACE + BOMBS + OUTPUT + LOOPS + SIGNALS
    + COMPARING + LEAVING + INSPECTION + PATCHING + OUTLIVING + DESCRIPTORS + PICKLES + RANK
)  # fmt: skip
