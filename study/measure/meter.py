"""Record a cell's power: by the sidecar on this machine, by a service on another, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import psutil

from configs.addresses import read_address
from configs.meters import Meters
from server.engines.boards import readable
from server.power.service.remote import RemoteMeter
from server.power.sidecar import Sidecar
from starwatt_errors import MeterError
from study.records.this_node import this_node
from traces.cell import Node
from traces.remote import PowerClock


@dataclass
class Recorded:
    """Hold what a recording leaves beside its trace; filled in when it has ended."""

    summary: Mapping[str, Any] = field(default_factory=dict)
    node: Node | None = None
    clock: PowerClock | None = None
    """Of the host that recorded, where that is another one, as what follows."""
    host: Mapping[str, Any] | None = None
    marks: Sequence[Mapping[str, Any]] = ()
    left_out: Sequence[str] = ()
    """In words, what is there and is not read."""
    boards: tuple[str, ...] = ()
    """UUIDs of this machine's GPUs that were read."""
    problem: str | None = None
    """Why the record is not whole."""


class CellMeter(Protocol):
    """Watch a recording that is under way."""

    def check_alive(self) -> None:
        """Raise MeterError where it is not."""

    def mark(self, phase: str) -> None:
        """Note that a phase begins."""


OpenMeter = Callable[[Path, Recorded], AbstractContextManager[CellMeter]]
"""Starts recording into a folder, or raises MeterError; what becomes of the record is in ``Recorded``."""


@dataclass(frozen=True)
class _Here:
    """The sidecar; None: nobody records, and nothing could die."""

    sidecar: Sidecar | None

    def check_alive(self) -> None:
        if self.sidecar is not None:
            self.sidecar.check_alive()

    def mark(self, phase: str) -> None:
        """Note nothing: runner and sidecar have one clock, and cell.json has the phases."""


def meter_here(
    settings: Meters, engine_pid: int | None, residents: Sequence[int] = (), *, several: bool = True
) -> OpenMeter:
    """Meter with the sidecar on this machine; ``several`` recordings are of the same boards.

    ``residents`` are other engines of the study here, loaded and not asked.
    """

    @contextmanager
    def record(folder: Path, left: Recorded) -> Iterator[CellMeter]:
        wanted = _of_these_boards(settings) if several else settings
        with Sidecar.start(folder, wanted, engine_pid=engine_pid, residents=residents) as sidecar:
            left.left_out = sidecar.left_out
            left.boards = tuple(device["name"] for device in sidecar.devices if device["source"] == "nvml")
            yield _Here(sidecar)
            try:
                sidecar.stop()
            except MeterError as error:
                left.problem = str(error)
        left.summary, left.node = sidecar.summary, this_node()

    return record


def _of_these_boards(settings: Meters) -> Meters:
    if settings.gpus is not None or (settings.sources != "auto" and "nvml" not in settings.sources):
        return settings
    return settings.model_copy(update={"gpus": tuple(readable(None)) or None})


def meter_there(url: str, token: str, sample_hz: float | None) -> OpenMeter:
    """Meter with the service at ``url``, which runs beside the engine; it samples as often as it likes unless said."""

    @contextmanager
    def record(folder: Path, left: Recorded) -> Iterator[CellMeter]:
        with RemoteMeter.start(url, token, folder, sample_hz=sample_hz) as meter:
            yield meter
        told = meter.host
        left.summary, left.clock, left.problem = meter.summary, meter.clock, meter.problem
        left.host, left.marks = told, meter.marks
        left.node = Node(
            name=str(told.get("name") or url), boot_id=meter.clock.boot_id, cpus=told.get("cpus")
        )

    return record


def no_meter(node: Node | None) -> OpenMeter:
    """Record nothing beside an engine on ``node``, if that is known: joules are missing (``no_power``)."""

    @contextmanager
    def record(folder: Path, left: Recorded) -> Iterator[CellMeter]:
        folder.mkdir(parents=True, exist_ok=True)
        yield _Here(None)
        left.node = node

    return record


def server_pid(url: str) -> int | None:
    """Return the process that listens on a loopback URL: what ``modelled`` power needs; None for other hosts."""
    endpoint = read_address(url, scheme="http")
    if endpoint.host not in ("127.0.0.1", "localhost", "::1"):
        return None
    for connection in psutil.net_connections("tcp"):
        if (
            connection.status == psutil.CONN_LISTEN
            and connection.laddr
            and connection.laddr[1] == endpoint.port
        ):
            return connection.pid
    return None


def sidecar_audit(told: Mapping[str, Any]) -> dict[str, float | None]:
    """Return what cell.json keeps of a sidecar that has ended: its cost, how late its readings were, and what
    it saw of engines that were loaded beside the one that was measured."""
    return {
        "sidecar_cpu_share": told.get("cpu_share"),
        "sidecar_late_p50_ms": told.get("late_p50_ms"),
        "sidecar_late_p99_ms": told.get("late_p99_ms"),
        "sidecar_skipped": told.get("skipped"),
        "residents_cpu_share": told.get("residents_cpu_share"),
    }
