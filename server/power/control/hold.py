"""The boards of an engine, held for a study: set before a cell, and put back whatever ends the study."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import server
from configs.board import BoardSetting
from server.power.control.board import Board, ControlError, boards_called, nearest, same_limit
from server.power.control.check import check_boards
from server.power.control.journal import Found, held, note, read, study_of
from server.power.control.put_back import put_back
from server.power.nvidia.library import opened
from server.process.guard import GUARD
from server.process.waiting import wait_until
from starwatt_errors import MeterError
from traces.board import BoardHeld, BoardShown
from traces.clock import boot_id

SHOWN_S = 20.0
"""So long may a board take until it shows what it was set to: tenths of a second are usual."""
_POLL_S = 0.05
_CLOCK_STEP_MHZ = 15
_AS_FOUND = BoardSetting()
_PUT_BACK = [sys.executable, "-P", "-m", "server.power.control.put_back"]


@dataclass
class _Held:
    """One board, what it was, and what it offers."""

    board: Board
    found: Found
    range_w: tuple[float, float] | None
    clocks_mhz: Sequence[int]
    enforced_w: float | None
    """The limit that it showed when it was found, that of a BMC too."""
    at_mhz: int | None = None

    def set(self, setting: BoardSetting) -> None:
        """Write down what is about to be set, then set it."""
        target_w = self.found.limit_w if setting.power_limit_w is None else setting.power_limit_w
        clock = None if setting.sm_clock_mhz is None else nearest(setting.sm_clock_mhz, self.clocks_mhz)
        if target_w is not None and not same_limit(self.board.shown().managed_w, target_w):
            others = [watts for watts in self.found.set_w if watts != target_w]
            self._note(set_w=(*others, target_w))
            self.board.set_limit(target_w)
        if clock is not None:
            self._note(locked=True)
            self.board.lock_clock(clock)
        elif self.at_mhz is not None:
            self.board.unlock_clock()
        self.at_mhz = clock

    def shows(self, setting: BoardSetting) -> bool:
        """Say whether the board shows what it was set to; a clock may be lower where the power limit holds it down."""
        shown = self.board.shown()
        if setting.power_limit_w is None:
            at_limit = self._shows_no_limit_of_ours(shown.enforced_w)
        else:
            at_limit = same_limit(shown.enforced_w, setting.power_limit_w)
        clock = shown.sm_clock_mhz
        return at_limit and (self.at_mhz is None or clock is None or clock <= self.at_mhz + _CLOCK_STEP_MHZ)

    def _shows_no_limit_of_ours(self, enforced_w: float | None) -> bool:
        """Say whether it shows what it was found with, or what somebody else has set since."""
        ours = any(same_limit(enforced_w, watts) for watts in self.found.set_w)
        return (
            not ours or same_limit(enforced_w, self.enforced_w) or same_limit(enforced_w, self.found.limit_w)
        )

    def record(self) -> BoardShown:
        """Say what it shows now, and what it allows."""
        shown, allowed = self.board.shown(), self.range_w or (None, None)
        return BoardShown(
            found_w=self.found.limit_w,
            least_w=allowed[0],
            most_w=allowed[1],
            managed_w=shown.managed_w,
            power_limit_w=shown.enforced_w,
            locked_mhz=self.at_mhz,
            sm_clock_mhz=shown.sm_clock_mhz,
        )

    def _note(self, **changes: object) -> None:
        changed = self.found.model_copy(update=changes)
        if changed != self.found:
            note(changed)
            self.found = changed


@dataclass
class HeldBoards:
    """Set the boards of one engine for each of its cells; ``hold_boards`` makes it and puts them back."""

    boards: list[_Held]
    _at: BoardSetting | None = _AS_FOUND
    """What all of them show; None: they may have been set in part."""

    def hold(self, setting: BoardSetting, settle_s: float = 0.0) -> BoardHeld:
        """Set every board, and wait until all show it; where it is another setting than before, ``settle_s`` longer.

        Raises:
            ControlError: one cannot be set, or does not show it within ``SHOWN_S`` seconds.
            NvmlError: one is gone.
        """
        begun_s = time.monotonic()
        before, self._at = self._at, None
        for holding in self.boards:
            holding.set(setting)
        self._wait(setting)
        if setting != before:
            time.sleep(settle_s)
            self._wait(setting)
        self._at = setting
        return BoardHeld(
            setting=setting.slug,
            power_limit_w=setting.power_limit_w,
            sm_clock_mhz=setting.sm_clock_mhz,
            waited_s=round(time.monotonic() - begun_s, 3),
            boards={holding.board.uuid: holding.record() for holding in self.boards},
        )

    def release(self) -> None:
        """Set them as they were found, and keep holding them; raises as ``hold``."""
        self.hold(_AS_FOUND)

    def _wait(self, setting: BoardSetting) -> None:
        for holding in self.boards:
            if not wait_until(partial(holding.shows, setting), SHOWN_S, poll_s=_POLL_S):
                raise ControlError(_never_shown(holding, setting))


@contextmanager
def hold_boards(
    uuids: Sequence[str], run: Path, settings: Sequence[BoardSetting] = ()
) -> Iterator[HeldBoards]:
    """Hold these boards for the study of a run directory; what they are is on the disk before anything is set.

    Whether they take ``settings`` is looked at first.

    However the block ends they are put back: by this process, by the reaper where it is killed, or by the next command.
    What an earlier study left is put back first.

    Raises:
        RunError: another study holds one.
        TraceError: what they are cannot be written down.
        ControlError: one cannot be set so, or cannot be put back.
        NvmlError: one is missing, or does not answer.
    """
    by = study_of(run).strip()
    with opened(), ExitStack() as stack:  # a client of the driver all the time: without one it may forget
        boards = boards_called(uuids)
        for board in boards:
            stack.enter_context(held(board.uuid, by))
        for board in boards:
            left = read(board.uuid)
            if left is not None:
                put_back(board, left)
        if settings:
            check_boards(boards, settings)
        holdings = [_held(board, by) for board in boards]
        for holding in holdings:
            note(holding.found)
        order = GUARD.afterwards([*_PUT_BACK, *uuids], Path(server.__file__).parents[1])
        try:
            yield HeldBoards(holdings)
        finally:
            _put_all_back(holdings)
            GUARD.spare(order)


def _held(board: Board, by: str) -> _Held:
    as_found = Found(
        uuid=board.uuid,
        name=board.name,
        node=platform.node(),
        boot_id=boot_id(),
        run=by,
        since=datetime.now(UTC).isoformat(timespec="seconds"),
        limit_w=board.limit_w,
    )
    return _Held(board, as_found, board.range_w, board.clocks_mhz, board.shown().enforced_w)


def _put_all_back(boards: Sequence[_Held]) -> None:
    """Put every board back, also where another one cannot be; raises the first MeterError."""
    failed: list[MeterError] = []
    for holding in boards:
        try:
            put_back(holding.board, holding.found)
        except MeterError as error:
            failed.append(error)
    if failed:
        raise failed[0]


def _never_shown(holding: _Held, setting: BoardSetting) -> str:
    shown = holding.board.shown()
    said = f"limit {shown.enforced_w} W (of {shown.managed_w} W asked for), SM clock {shown.sm_clock_mhz} MHz"
    return (
        f"{holding.board} does not show {setting.slug} within {SHOWN_S:g} s: {said}. Another limit may be "
        "lower (a BMC's), or somebody else sets it"
    )
