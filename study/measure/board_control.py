"""Hold the boards of a study's engines, where it sets them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from configs.schema import Study
from server.engines.boards import allot
from server.power.control.board import ControlError
from server.power.control.hold import HeldBoards, hold_boards
from study.plan.engines import largest_engine
from traces.layout import RunDir


@contextmanager
def held_boards(study: Study, run: RunDir) -> Iterator[HeldBoards | None]:
    """Hold the boards that any engine of this study gets here; None where the study leaves them alone.

    Raises:
        ControlError: they cannot be set as it asks, or not be put back.
        RunError: another study holds one.
        StarwattError: as ``hold_boards``.
    """
    if not study.board:
        yield None
        return
    uuids = allot(study.meter_settings, largest_engine(study)).meters.gpus
    if not uuids:
        raise ControlError("board: no NVIDIA board is here whose power can be read", cause="no board")
    with hold_boards(uuids, run.root, study.board) as boards:
        yield boards
