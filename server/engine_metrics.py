"""Scrapes the engine's own counters once a second into ``engine.parquet``."""

from __future__ import annotations

import contextlib
import http.client
import re
import threading
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from traces.clock import now_ns
from traces.streams import TraceWriter

PERIOD_S = 1.0
METRICS = {
    "vllm:num_requests_running": "running",
    "vllm:num_requests_waiting": "waiting",
    "vllm:kv_cache_usage_perc": "kv_cache_usage",
    "vllm:prompt_tokens_total": "prompt_tokens_total",
    "vllm:generation_tokens_total": "generation_tokens_total",
    "vllm:prefix_cache_hits_total": "prefix_hits_total",
    "vllm:num_preemptions_total": "preemptions_total",
}
_SAMPLE = re.compile(r"(?P<name>[\w:]+)(?:\{.*\})?\s+(?P<value>\S+)")  # a time stamp may follow


def parse_metrics(text: str) -> dict[str, float]:
    """Our columns from Prometheus text, summed over label sets; a metric that is not there is left out."""
    values: dict[str, float] = {}
    for line in text.splitlines():
        found = _SAMPLE.match(line)
        column = METRICS.get(found["name"]) if found else None
        if found and column is not None:
            with contextlib.suppress(ValueError):
                values[column] = values.get(column, 0.0) + float(found["value"])
    return values


class EngineScraper:
    """A thread that writes one row a second while the ``with`` block runs; a failed scrape is a missing row."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = f"{url}/metrics"
        self._writer = TraceWriter(folder, "engine")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine-scraper", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._writer.close()

    def _run(self) -> None:
        while True:
            self._scrape()
            if self._stop.wait(PERIOD_S):
                self._scrape()
                return

    def _scrape(self) -> None:
        try:
            with urllib.request.urlopen(self._url, timeout=PERIOD_S) as response:  # noqa: S310 -- our own http URL
                text = response.read().decode(errors="replace")
        except (urllib.error.URLError, http.client.HTTPException, OSError):
            return
        values = parse_metrics(text)
        if values:
            self._writer.append({"t_ns": now_ns(), **values})
