"""Read the meters for ``/metrics``: beside any recording, and never more than once a second."""

from __future__ import annotations

import threading
from dataclasses import replace

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from configs.meters import Meters
from server.power.meter import Device, Reading
from server.power.meters import open_meters
from starwatt_errors import MeterError
from traces.clock import now_ns

CONTENT_TYPE = CONTENT_TYPE_LATEST
_LABELS = ("device", "boundary", "source")
_FRESH_NS = 1_000_000_000  # counters go stale when read often, whoever scrapes


class LiveMeters:
    """Meters of its own, read when someone asks."""

    def __init__(self, settings: Meters, engine_pid: int | None) -> None:
        """Raises MeterError where no meter answers."""
        self._settings, self._engine_pid = settings, engine_pid
        self._meters = open_meters(settings, engine_pid)
        self.devices = [device for meter in self._meters for device in meter.devices]
        """All devices of all meters, as they were found."""
        self._lock = threading.Lock()
        self._readings: list[Reading] = []
        self._read_ns: int | None = None
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def exposition(self) -> bytes:
        """Return Prometheus' text format. What a device lacks has no line.

        Raises:
            MeterError: a device was lost.
        """
        return generate_latest(self._registry)

    def collect(self) -> list[Metric]:
        """Return watts, joules since this service began, and temperature, by device."""
        watts = GaugeMetricFamily(
            "starwatt_power_watts", "Power: the board's instantaneous reading, its average where it has no other, "
            "or the mean since the last reading (RAPL, modelled)", labels=_LABELS,
        )  # fmt: skip
        joules = CounterMetricFamily(
            "starwatt_energy_joules", "The device's energy counter, since the service began", labels=_LABELS
        )
        heat = GaugeMetricFamily("starwatt_temperature_celsius", "Temperature", labels=_LABELS)
        for reading in self._read():
            labels = [reading.device.name, reading.device.boundary, reading.device.source]
            known = (watts, reading.shown_w), (joules, reading.energy_j), (heat, reading.temperature_c)
            for family, value in known:
                if value is not None:
                    family.add_metric(labels, value)
        return [watts, joules, heat]

    def describe(self) -> list[Metric]:
        """Return no metric: registering must not read."""
        return []

    def close(self) -> None:
        """Close the meters."""
        while self._meters:
            self._meters.pop().close()

    def _read(self) -> list[Reading]:
        with self._lock:
            if self._read_ns is None or now_ns() - self._read_ns >= _FRESH_NS:
                self._readings = _one_a_device(self._asked())
                self._read_ns = now_ns()
            return self._readings

    def _asked(self) -> list[Reading]:
        """Read all meters; after a failure they are opened anew, since a board that was reset comes back so."""
        try:
            self._meters = self._meters or open_meters(self._settings, self._engine_pid)
            return [reading for meter in self._meters for reading in meter.read(slow=True)]
        except MeterError:
            self.close()
            raise


def _one_a_device(readings: list[Reading]) -> list[Reading]:
    """Make one reading of a board's power and its counter, which come apart."""
    joined: dict[Device, Reading] = {}
    for reading in readings:
        known = joined.get(reading.device)
        if known is None:
            joined[reading.device] = reading
            continue
        news = {
            name: getattr(reading, name)
            for name in ("power_w", "power_avg_w", "energy_j", "temperature_c")
            if getattr(reading, name) is not None
        }
        joined[reading.device] = replace(known, **news)
    return list(joined.values())
