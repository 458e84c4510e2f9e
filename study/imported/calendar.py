"""Place requests on the calendar: as their tool says, or by what is stated where its clock began anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from starwatt_errors import UsageError
from study.imported.requests import LATEST_S, ImportedLoad
from traces.clock import ClockPair

WRITTEN_WITHIN_S = 1.0
"""Of the last answer: `vllm bench serve` computes its sums between, and writes the time without its fraction."""
_DATE = "%Y%m%d-%H%M%S"


@dataclass(frozen=True)
class Stated:
    """Hold what the command line says of the requests' clock."""

    at_s: float | None = None
    """When the first request was sent, seconds since 1970."""
    same_boot: bool = False
    """The load ran on this machine since it was started."""
    zone: str | None = None
    """Of times that name none; None: this machine's."""


@dataclass(frozen=True)
class Placed:
    """Say how requests came to their place on the calendar."""

    shift_ns: int
    """Is added to their times."""
    uncertainty_s: float
    """Half-width of what is not known of that."""
    words: str


def place(load: ImportedLoad, stated: Stated, where: str) -> Placed:
    """Return where the times of ``load`` lie on the calendar; ``where`` names it in an error.

    Raises:
        UsageError: what is stated does not go with its clock, or contradicts it; or nothing places it.
    """
    if load.clock == "calendar":
        if stated.at_s is not None or stated.same_boot:
            flag = "--same-boot" if stated.same_boot else "--at"
            raise UsageError(
                f"{where}: {flag} is for vllm bench serve, whose clock began anywhere; these times are of the calendar "
                "(--clock-offset says how far the power log's clock is ahead of theirs)"
            )
        return Placed(0, 0.0, "times are the file's own calendar times")
    first_ns, last_ns = _ends(load, where)
    if stated.at_s is not None and not 0 <= stated.at_s <= LATEST_S:
        raise UsageError(
            f"--at: takes seconds since 1970 (not milliseconds), or ISO 8601 (given: {stated.at_s:g})"
        )
    if stated.at_s is not None:
        return Placed(
            round(stated.at_s * 1e9) - first_ns, 0.0, "the first request was stated to be sent at --at"
        )
    written_s = None if load.written_at is None else _written_s(load.written_at, stated.zone, where)
    if stated.same_boot:
        return _by_this_boot(last_ns, written_s, where)
    if written_s is None:
        raise UsageError(
            f"{where}: its times began anywhere, and it has no date: say when the first request was sent (--at "
            "2026-11-26T09:30:00.25+00:00), or --same-boot where it ran on this machine since its last start"
        )
    return Placed(
        round(written_s * 1e9) - last_ns,
        WRITTEN_WITHIN_S,
        f"the last answer is taken to have ended within {WRITTEN_WITHIN_S:g} s of the file's date",
    )


def _ends(load: ImportedLoad, where: str) -> tuple[int, int]:
    """Return the first request sent, and the last time that is known."""
    sent = [request.sent_ns for request in load.requests if request.sent_ns is not None]
    if not sent:
        raise UsageError(f"{where}: has no request that was sent")
    return min(sent), max(
        [*sent, *(request.end_ns for request in load.requests if request.end_ns is not None)]
    )


def _written_s(date: str, zone: str | None, where: str) -> float:
    try:
        at = datetime.strptime(date, _DATE)
    except ValueError as error:
        raise UsageError(f"{where}: its date {date!r} is not understood: say --at") from error
    return at.timestamp() if zone in (None, "local") else at.replace(tzinfo=ZoneInfo(zone)).timestamp()


def _by_this_boot(last_ns: int, written_s: float | None, where: str) -> Placed:
    """Place times by this machine's two clocks as they stand now; the file's date must not contradict them."""
    now = ClockPair.now()
    shift_ns = now.realtime_ns - now.monotonic_ns
    ended_s = (last_ns + shift_ns) * 1e-9
    apart_s = None if written_s is None else written_s - ended_s
    if last_ns > now.monotonic_ns or (apart_s is not None and not -1.0 - WRITTEN_WITHIN_S <= apart_s <= 600):
        said = "later than now" if apart_s is None else f"{apart_s:.3g} s before the file's date"
        raise UsageError(
            f"{where}: --same-boot: by this machine's clock its last answer would have ended {said}: it ran on another "
            "machine, or before this one was started, or --zone is not its zone; say --at, or nothing"
        )
    return Placed(
        shift_ns, 0.0, "by this machine's clock, which has not been started anew since (--same-boot)"
    )
