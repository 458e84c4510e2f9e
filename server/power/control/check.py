"""Whether boards can be set as a study asks: looked at before anything is started."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from configs.board import BoardSetting
from server.power.control.board import SAME_W, Board, ControlError, boards_called
from server.power.control.journal import held
from server.power.nvidia.library import opened


@dataclass(frozen=True)
class Refusal:
    """Say what speaks against a setting, or where ``setting`` is None against setting these boards at all."""

    setting: int | None
    """Its place in the study's list."""
    words: str


def refusals(uuids: Sequence[str], settings: Sequence[BoardSetting]) -> list[Refusal]:
    """Find what speaks against setting these boards, without changing one.

    Whether this user may is found by asking each board for the limit that it has.

    Raises:
        RunError: another study holds one.
        NvmlError: a board is missing, or does not answer.
    """
    with opened(), ExitStack() as stack:
        boards = boards_called(uuids)
        for board in boards:
            stack.enter_context(held(board.uuid, "starwatt, which looks whether a study can set it"))
        return _refusals(boards, settings)


def check_boards(boards: Sequence[Board], settings: Sequence[BoardSetting]) -> None:
    """Raise ControlError with all that speaks against setting boards that this process holds."""
    refusals = _refusals(boards, settings)
    if refusals:
        words = [
            refusal.words if refusal.setting is None else f"board.{refusal.setting}: {refusal.words}"
            for refusal in refusals
        ]
        raise ControlError("\n".join(dict.fromkeys(words)), cause="not allowed")


def _refusals(boards: Sequence[Board], settings: Sequence[BoardSetting]) -> list[Refusal]:
    refusals = [Refusal(None, words) for board in boards if (words := _why_never(board, settings))]
    return refusals + [
        Refusal(at, f"{board}: {words}")
        for at, setting in enumerate(settings)
        for board in boards
        for words in _why_not(board, setting)
    ]


def _why_never(board: Board, settings: Sequence[BoardSetting]) -> str | None:
    if board.has_mig:
        return f"{board}: MIG is on: a limit would be that of all its instances, others' too; switch MIG off"
    limit_w = board.limit_w
    try:
        if limit_w is not None and board.range_w is not None:
            board.set_limit(limit_w)
        elif any(setting.power_limit_w is not None for setting in settings):
            return f"{board}: it takes no power limit (laptops' and some consumer boards do not)"
    except ControlError as error:
        return str(error)
    return None


def _why_not(board: Board, setting: BoardSetting) -> Iterator[str]:
    limit_w, allowed, shown = setting.power_limit_w, board.range_w, board.shown()
    if limit_w is not None and allowed is not None:
        low, high = allowed
        if not low - SAME_W / 2 <= limit_w <= high + SAME_W / 2:
            yield f"takes a power limit of {low:g} to {high:g} W (given: {limit_w:g})"
        elif (
            shown.managed_w is not None
            and shown.enforced_w is not None
            and shown.enforced_w < min(shown.managed_w, limit_w) - SAME_W
        ):
            yield (
                f"another limit, such as its BMC's, holds it at {shown.enforced_w:g} W (given: {limit_w:g}): "
                "it would never show more"
            )
    clock = setting.sm_clock_mhz
    if clock is None:
        return
    offered = board.clocks_mhz
    if not offered:
        yield "offers no clock that it could be locked at (some consumer boards do not)"
    elif not offered[0] <= clock <= offered[-1]:
        yield f"takes a clock of {offered[0]} to {offered[-1]} MHz (given: {clock})"
