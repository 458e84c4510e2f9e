"""Record power beside ``starwatt load``: the sidecar here, a service on another host, or nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from configs.addresses import read_address, shown_url
from configs.meters import Meters
from configs.phases import PhaseSettings
from loadgen.planning.payload import checked_key
from server.power.meters import choose_sources
from server.power.service.token import TOKEN_VARIABLE
from starwatt_errors import MeterError, UsageError
from study.measure.meter import CellMeter, OpenMeter, Recorded, meter_here, meter_there, no_meter, server_pid
from study.progress.display import tell
from traces.cell import Node

PHASES = PhaseSettings(idle_s=3.0)
"""Idle before and after the load, and the rest before each of them."""


def meter_of(url: str, meter_at: str | None) -> OpenMeter:
    """Choose what records the power of the server at ``url``.

    Args:
        url: the endpoint.
        meter_at: ``local`` (this machine), the URL of a service, or None.

    Raises:
        UsageError: there is no token for the service that a header can carry.
        MeterError: no meter answers, and the server is no process of this machine.
    """
    if meter_at is None:
        return no_meter(Node(name=read_address(url, scheme="http").host))
    if meter_at == "local":
        pid = server_pid(url)
        if pid is None and choose_sources(Meters()) == ["modelled"]:
            raise MeterError(
                "--meter local: no power meter answers here, and no process of this machine listens at "
                f"{shown_url(url)} from whose CPU time power could be estimated: wait until the server is ready, or "
                "leave --meter out"
            )
        return _rested(meter_here(Meters(), pid, several=False))
    token = checked_key(os.environ.get(TOKEN_VARIABLE), TOKEN_VARIABLE)
    if meter_at.startswith(("http://", "https://")) and not token:
        raise UsageError(f"--meter {shown_url(meter_at)}: set {TOKEN_VARIABLE} to the token of that service")
    return _rested(meter_there(meter_at, token or "", None))


def told_once() -> Callable[[MeterError], None]:
    """Say the first time that power is not recorded any more: it costs no request, since nobody tries again."""
    told: list[MeterError] = []

    def lost(error: MeterError) -> None:
        if not told:
            tell(f"power is not recorded any more: {error}")
        told.append(error)

    return lost


def _rested(open_meter: OpenMeter) -> OpenMeter:
    """Say what is not read, and let the server come to rest before idle power is measured."""

    @contextmanager
    def record(folder: Path, left: Recorded) -> Iterator[CellMeter]:
        with open_meter(folder, left) as meter:
            for words in left.left_out:
                tell(f"left out: {words}")
            time.sleep(PHASES.rest_s)
            yield meter

    return record
