"""Say what this machine's boards are set to, what they allow, and who has set them: `starwatt board`."""

from __future__ import annotations

from typing import Any

from server.power.control.board import Board
from server.power.control.journal import why_in_use
from server.power.control.put_back import left_behind
from server.power.nvidia.library import asked, places


def boards_here() -> list[dict[str, Any]]:
    """List the boards with what they show and allow, and the study that has set one or left it so.

    Raises:
        ControlError: a note of what one was cannot be read.
        NvmlError: a driver is there, and fails.
    """
    left = {note.uuid: note for note in left_behind()}
    boards: list[dict[str, Any]] = asked(
        lambda: [_about(Board(place)) for place in places() if place.problem is None], []
    )
    for board in boards:
        note = left.get(board["uuid"])
        board["set_by"] = None if note is None else note.run
        board["left_so"] = note is not None and why_in_use(note.uuid) is None
        board["found_w"] = None if note is None else note.limit_w
    return boards


def _about(board: Board) -> dict[str, Any]:
    shown, allowed, clocks = board.shown(), board.range_w, board.clocks_mhz
    return {
        "uuid": board.uuid,
        "name": board.name,
        "power_limit_w": shown.enforced_w,
        "asked_w": shown.managed_w,
        "default_w": board.default_w,
        "allowed_w": None if allowed is None else list(allowed),
        "sm_clock_mhz": shown.sm_clock_mhz,
        "allowed_mhz": [clocks[0], clocks[-1]] if clocks else None,
        "persistence": board.keeps_settings,
    }


def line_of(board: dict[str, Any]) -> str:
    """Say it of one board, for people."""

    def span(name: str, unit: str) -> str:
        ends = board[name]
        return "takes none" if ends is None else f"takes {ends[0]:g} to {ends[1]:g} {unit}"

    def now(name: str, unit: str) -> str:
        return "not told" if board[name] is None else f"{board[name]:g} {unit}"

    line = f"{board['name']} ({board['uuid']}): limit {now('power_limit_w', 'W')}, {span('allowed_w', 'W')}"
    if board["default_w"] is not None:
        line += f", {board['default_w']:g} W by default"
    line += f"; clock {now('sm_clock_mhz', 'MHz')}, {span('allowed_mhz', 'MHz')}"
    if not board["persistence"]:
        line += "; persistence mode is off: settings go with the driver's last client"
    if board["set_by"] is not None:
        state = "left set by" if board["left_so"] else "set just now by"
        line += f"; {state} {board['set_by']}" + (
            "" if board["found_w"] is None else f", was {board['found_w']:g} W"
        )
    return line
