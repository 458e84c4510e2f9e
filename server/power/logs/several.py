"""Tell a log of several devices, whose lines do not name them, from that of one: readings come in rounds of as many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from configs.meters import ExternalLog
from server.power.logs.reader import Line
from starwatt_errors import MeterError

_USUAL = 0.95  # of the times between readings, sorted: the pause before a round, whatever holes there are
_NEXT_BOARD_S = 0.05  # the most until nvidia-smi has asked the next board; a single meter is seldom as quick
_ENOUGH = 5  # rounds: as many readings between two holes may be one meter's
_SURE = 20  # whole rounds of a log that still grows
_MOST_LINES = 4096  # after which a log that grows is taken for one device's


def of_several(log: ExternalLog) -> MeterError:
    """Return the error that says so."""
    return MeterError(
        f"{log.file}: has several readings at each time, and no column says of which device each is: log the "
        "device too (nvidia-smi: index or uuid), and say which one is read (select)"
    )


class Growing:
    """Looks at the lines of a log that is being written, until it can say that they are of one device."""

    def __init__(self, log: ExternalLog) -> None:
        self._log = log
        self._lines: list[Line] = []
        self._looking = True

    def heed(self, lines: Sequence[Line]) -> None:
        """Take the lines that have come; raises MeterError once they are seen to be of several devices.

        Times in whole seconds say nothing here: a meter that is read twice a second has two lines in each.
        """
        if not (self._looking and lines):
            return
        self._lines += [line for line in lines if line.at_s is not None]
        times_s = _times_s(self._lines)
        rounds_at = np.flatnonzero(_begins(np.diff(times_s))) + 1 if times_s.size > 1 else np.array([], int)
        if rounds_at.size >= _SURE:
            ended = [line for line in self._lines if (line.at_s or 0.0) < times_s[rounds_at[-1]]]
            if np.any(times_s % 1) and are_of_several(ended):
                raise of_several(self._log)
            self._looking = False
        self._looking &= len(self._lines) < _MOST_LINES
        if not self._looking:
            self._lines.clear()


def are_of_several(lines: Sequence[Line]) -> bool:
    """Say whether readings come in rounds of as many: nvidia-smi asks boards one after the other, milliseconds apart.

    A log may begin and end within a round, so that the first and the last do not count; where times of a round do not
    differ they do, since there a single meter may be quicker than its log's times.
    """
    times_s = _times_s(lines)
    if times_s.size < 2:
        return False
    apart_s = np.diff(times_s)
    begins = _begins(apart_s)
    rounds = np.diff(np.flatnonzero([True, *begins, True]))
    if apart_s[~begins].any():
        rounds = rounds[1:-1]
        if rounds.size < _ENOUGH or apart_s[~begins].max() > _NEXT_BOARD_S:
            return False
    return bool(rounds.min() == rounds.max() > 1)


def _times_s(lines: Sequence[Line]) -> NDArray[np.float64]:
    return np.array(sorted(line.at_s for line in set(lines) if line.at_s is not None))


def _begins(apart_s: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say of each time between two readings whether a round begins behind it."""
    return apart_s > np.quantile(apart_s, _USUAL, method="higher") / 4
