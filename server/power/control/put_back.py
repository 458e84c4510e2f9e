"""Puts boards back as they were before a study set them: ``python -m server.power.control.put_back UUID…``.

That is what the reaper starts when a runner could not do it, and what every later command does with what both left.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from server.power.control.board import Board, NotOfferedError, same_limit
from server.power.control.journal import Found, folder, forget, held, noted, read
from server.power.nvidia.library import asked, opened, places
from starwatt_errors import RunError, StarwattError


@dataclass(frozen=True)
class PutBack:
    """Say what became of one board."""

    uuid: str
    done: bool
    """It is as it was found, or as somebody else has set it since."""
    words: str
    held: bool = False
    """A study holds it just now, and will put it back itself."""


def left_behind() -> list[Found]:
    """List the boards of this machine that are noted as set, whether a study still runs or has left them so.

    Raises:
        ControlError: a note cannot be read.
        NvmlError: a driver is there, and fails.
    """
    wanted = noted()
    if not wanted:
        return []
    here: frozenset[str] = asked(_here, frozenset())
    return [as_found for uuid in wanted if uuid in here and (as_found := read(uuid)) is not None]


def put_back_left(only: Sequence[str] | None = None) -> list[PutBack]:
    """Put back the boards of this machine that nobody holds; of ``only`` these where it names any.

    Raises:
        ControlError: a note cannot be read.
        NvmlError: a driver is there, and fails.
    """
    wanted = [uuid for uuid in noted() if only is None or uuid in only]
    if not wanted:
        return []
    done = []
    with opened():
        here = {place.uuid: Board(place) for place in places() if place.problem is None}
        for uuid in wanted:
            if uuid in here:
                done += _of_nobody(here[uuid])
    return done


def put_back(board: Board, as_found: Found) -> str:
    """Put a board back that this process holds, and forget it; say in words what was done.

    What somebody else has set since is left as it is. After a restart nothing is set: the driver has begun anew.

    Raises:
        ControlError: it cannot be set, or does not take its limit back.
        NvmlError: it is gone, or does not tell its limit.
    """
    if not as_found.of_this_boot:
        forget(as_found.uuid)
        return f"{board}: the machine was restarted since it was set: it is as its driver makes it"
    said = f"{board}: {_limit_back(board, as_found)}"
    if as_found.locked:
        with suppress(NotOfferedError):  # nor was it locked
            board.unlock_clock()
        said += ", and its clock is not locked"
    forget(as_found.uuid)
    return said


def _limit_back(board: Board, as_found: Found) -> str:
    now_w = board.limit_w
    if as_found.limit_w is None or now_w is None:
        return "its power limit was not set"
    if same_limit(now_w, as_found.limit_w):
        return f"its power limit is {as_found.limit_w:g} W, as it was found"
    if not any(same_limit(now_w, watts) for watts in as_found.set_w):
        return (
            f"its power limit is {now_w:g} W, which starwatt has not set, and is left so; it was "
            f"{as_found.limit_w:g} W before (nvidia-smi -i {as_found.uuid} -pl {as_found.limit_w:g})"
        )
    board.set_limit(as_found.limit_w)
    return f"its power limit is {as_found.limit_w:g} W again"


def how_to() -> str:
    """Return the command that puts back what was left, for who may."""
    return f"sudo env PATH=$PATH XDG_STATE_HOME={folder().parents[1]} starwatt board --restore"


def _of_nobody(board: Board) -> list[PutBack]:
    """Put back a board unless somebody holds it, who will; nothing where it has been done meanwhile."""
    try:
        with held(board.uuid, "starwatt, which puts it back"):
            as_found = read(board.uuid)
            return [] if as_found is None else [PutBack(board.uuid, True, put_back(board, as_found))]
    except RunError as error:
        return [PutBack(board.uuid, False, str(error), held=True)]
    except StarwattError as error:
        return [PutBack(board.uuid, False, f"{error}; put it back: {how_to()}")]


def _here() -> frozenset[str]:
    return frozenset(place.uuid for place in places() if place.problem is None)


def main(uuids: Sequence[str]) -> int:
    """Put these back; 0 where all are."""
    return 0 if all(attempt.done for attempt in put_back_left(uuids)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
