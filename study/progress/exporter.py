"""``starwatt run --metrics-port N``: the study's progress and the running cell's state, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Self

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric

from starwatt_errors import UsageError
from study.progress.live import Snapshot
from traces.layout import CellKey

HOST = "127.0.0.1"
_CELL = ("model", "variant", "load", "block")


class Exporter:
    """Serve ``/metrics`` on loopback until the ``with`` block ends; fed by the runner."""

    def __init__(self, study: str, port: int) -> None:
        """Raises UsageError where the port is taken; 0 is any free one."""
        self._study = study
        self._planned = self._done = 0
        self._failed: Callable[[], int] = int
        self._cell: CellKey | None = None
        self._snapshot = Snapshot()
        registry = CollectorRegistry()
        registry.register(self)
        try:
            self._server, self._thread = start_http_server(port, HOST, registry)
        except OSError as error:
            raise UsageError(
                f"--metrics-port {port}: {error.strerror}; choose another, or 0 for any free one"
            ) from error

    @property
    def url(self) -> str:
        """Return where it is scraped."""
        return f"http://{HOST}:{self._server.server_address[1]}/metrics"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def cells(self, *, planned: int, done: int, failed: Callable[[], int]) -> None:
        """Note how far the study is; ``failed`` is asked at every scrape, for any process may give a cell up."""
        self._planned, self._done, self._failed = planned, done, failed

    def measured(self) -> None:
        """Note that one more cell is done."""
        self._done += 1

    def cell(self, key: CellKey | None) -> None:
        """Note the cell that begins; None between two."""
        self._cell, self._snapshot = key, Snapshot()

    def saw(self, snapshot: Snapshot) -> None:
        """Note what the cell does now."""
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, as prometheus_client asks for them; what is not known is left out."""
        cells = GaugeMetricFamily("starwatt_cells", "Cells of the study", labels=["study", "state"])
        for state, number in (("planned", self._planned), ("done", self._done), ("failed", self._failed())):
            cells.add_metric([self._study, state], number)
        yield cells
        key, seen = self._cell, self._snapshot
        if key is None:
            return
        names = [self._study, key.model, key.variant, key.load, str(key.block)]
        running = GaugeMetricFamily("starwatt_cell", "The cell that is measured", labels=["study", *_CELL])
        running.add_metric(names, 1)
        yield running
        figures = (
            ("starwatt_requests_running", "Requests in the engine's batch", seen.running),
            ("starwatt_requests_waiting", "Requests waiting in the engine", seen.waiting),
            ("starwatt_output_tokens_per_second", "Over the last five seconds", seen.tokens_per_s),
            ("starwatt_dispatch_lag_p99_seconds", "Sent late by so much", _seconds(seen.lag_ms)),
        )
        for name, words, value in figures:
            if value is not None:
                family = GaugeMetricFamily(name, words, labels=["study", "variant", "load"])
                family.add_metric([self._study, key.variant, key.load], value)
                yield family
        yield self._by_device("starwatt_power_watts", "The newest reading", seen.watts)
        yield self._by_device("starwatt_temperature_celsius", "Temperature", seen.celsius)

    def _by_device(self, name: str, words: str, values: Mapping[tuple[str, str, str], float]) -> Metric:
        family = GaugeMetricFamily(name, words, labels=["study", "device", "boundary", "source"])
        for place, value in values.items():
            family.add_metric([self._study, *place], value)
        return family


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds * 1e-3
