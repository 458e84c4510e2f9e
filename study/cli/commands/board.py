"""``starwatt board`` shows what boards are set to, and puts back what a study left."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from typer import Option

from study.cli.answers import print_answer
from study.cli.options import JsonFlag, exit_with
from study.exit_codes import FAILED


def board(
    restore: Annotated[
        bool,
        Option("--restore", help="Put boards back that a study left set when it was killed (root)."),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show what boards are set to, what they allow, and which a study has set; put back what one left.

    The exit code is 1 where a board was left set, or could not be put back.
    """
    exit_with(_restore(as_json=as_json) if restore else _show(as_json=as_json))


def _show(*, as_json: bool) -> int:
    from study.doctor.boards import boards_here, line_of

    boards = boards_here()
    print_answer(boards, map(line_of, boards) if boards else ["no NVIDIA driver answers"], as_json=as_json)
    return FAILED if any(board["left_so"] for board in boards) else 0


def _restore(*, as_json: bool) -> int:
    from server.power.control.put_back import put_back_left

    done = put_back_left()
    lines = [board.words for board in done] or ["no board was left set"]
    print_answer([asdict(board) for board in done], lines, as_json=as_json)
    return 0 if all(board.done for board in done) else FAILED
