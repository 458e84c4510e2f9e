"""What records power beside ``starwatt load``: the sidecar here, or a service on another host."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from configs.addresses import shown_url
from configs.meters import Meters
from configs.schema import Phases
from loadgen.planning.payload import checked_key
from server.power.meters import choose_sources
from server.power.service.listen import TOKEN_VARIABLE
from starwatt_errors import MeterError, UsageError
from study.measure.meter import CellMeter, OpenMeter, Recorded, meter_here, meter_there, server_pid
from study.progress.display import tell

PHASES = Phases(idle_s=3.0)
"""Idle before and after the load, and the rest before each of them."""


def meter_of(url: str, meter_at: str) -> OpenMeter:
    """Choose what records the power of the server at ``url``: this machine (``local``), or the service at ``meter_at``.

    Raises:
        UsageError: there is no token for it that a header can carry.
        MeterError: no meter answers, and the server is no process of this machine.
    """
    if meter_at == "local":
        pid = server_pid(url)
        if pid is None and choose_sources(Meters()) == ["modelled"]:
            raise MeterError(
                "--meter local: no power meter answers here, and no process of this machine listens at "
                f"{shown_url(url)} from whose CPU time power could be estimated"
            )
        return meter_here(Meters(), pid, several=False)
    token = checked_key(os.environ.get(TOKEN_VARIABLE), TOKEN_VARIABLE)
    if meter_at.startswith(("http://", "https://")) and not token:
        raise UsageError(f"--meter {shown_url(meter_at)}: set {TOKEN_VARIABLE} to the token of that service")
    return meter_there(meter_at, token or "", None)


def lenient(open_meter: OpenMeter) -> OpenMeter:
    """Record as it does, but say at once what fails on the way, at the cost of no request: there is no second try."""

    @contextmanager
    def record(folder: Path, left: Recorded) -> Iterator[CellMeter]:
        with open_meter(folder, left) as meter:
            for words in left.left_out:
                tell(f"left out: {words}")
            time.sleep(PHASES.rest_s)
            yield _Lenient(meter)

    return record


@dataclass
class _Lenient:
    meter: CellMeter
    failed: bool = False

    def check_alive(self) -> None:
        """Say once when it is not."""
        if self.failed:
            return
        try:
            self.meter.check_alive()
        except MeterError as error:
            self.failed = True
            tell(f"power is not recorded any more: {error}")

    def mark(self, phase: str) -> None:
        """Hand it on."""
        self.meter.mark(phase)
