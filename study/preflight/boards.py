"""Check that the boards of a study can be set as it asks, and are nobody else's, before anything is started."""

from __future__ import annotations

from collections.abc import Iterator

from configs.schema import Study
from server.power.control.board import ControlError
from server.power.control.check import refusals
from server.power.control.journal import study_of, why_in_use
from server.power.control.put_back import how_to, left_behind
from starwatt_errors import RunError, StarwattError
from study.executors.executor import Executor
from study.preflight.problems import StudyProblem, problem_of
from traces.layout import RunDir

_FIELD = ("board",)
_NOT_ALLOWED = (
    "sets power limits or clocks of this study's boards, and puts them back in the end: say that it may with "
    "--allow-board-control"
)


def board_problems(study: Study, run: RunDir, executor: Executor, *, allowed: bool) -> Iterator[StudyProblem]:
    """Find what speaks against the factor ``board``, and against boards that another study sets, or has left set.

    What a cluster's nodes allow is looked at there. Boards that an earlier runner of this very run still holds, as what
    it started is being ended, are free once the run is.
    """
    if study.board and not allowed:
        yield StudyProblem(_FIELD, _NOT_ALLOWED)
    if not executor.here:
        return
    try:
        uuids = [gpu.uuid for gpu in executor.site().boards]
        held = [words for uuid in uuids if (words := why_in_use(uuid)) is not None]
        for words in held:
            if study_of(run.root) not in words:
                yield StudyProblem(("meters", "gpus"), words, RunError)
        yield from _left_set(uuids)
        if study.board and allowed and not held:
            yield from _cannot_be_set(study, uuids)
    except StarwattError as error:
        yield problem_of(_FIELD, error)


def _left_set(uuids: list[str]) -> Iterator[StudyProblem]:
    for board in left_behind():
        if board.uuid in uuids and why_in_use(board.uuid) is None:
            words = f"{board.words}; put it back first: {how_to()}"
            yield StudyProblem(("meters", "gpus"), words, ControlError)


def _cannot_be_set(study: Study, uuids: list[str]) -> Iterator[StudyProblem]:
    if not uuids:
        yield StudyProblem(_FIELD, "takes an NVIDIA board, and none is here", ControlError)
    for refusal in refusals(uuids, study.board) if uuids else ():
        if refusal.setting is None:
            yield StudyProblem(_FIELD, refusal.words, ControlError)
        else:
            yield StudyProblem((*_FIELD, refusal.setting), refusal.words)
