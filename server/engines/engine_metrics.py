"""Scrapes the engine's own counters once a second into ``engine.parquet``."""

from __future__ import annotations

import math
import re
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from server.engines.asking import answer_of
from starwatt_errors import EngineError, TraceError
from traces.clock import now_ns
from traces.streams import TraceWriter

PERIOD_S = 1.0
_TOKENS = ("prompt_tokens_total", "generation_tokens_total")
METRICS = {
    "vllm:num_requests_running": "running",
    "vllm:num_requests_waiting": "waiting",
    "vllm:kv_cache_usage_perc": "kv_cache_usage",
    "vllm:prompt_tokens_total": "prompt_tokens_total",
    "vllm:generation_tokens_total": "generation_tokens_total",
    "vllm:prefix_cache_hits_total": "prefix_hits_total",
    "vllm:num_preemptions_total": "preemptions_total",
    "vllm:spec_decode_num_drafts_total": "drafts_total",
    "vllm:spec_decode_num_draft_tokens_total": "drafted_tokens_total",
    "vllm:spec_decode_num_accepted_tokens_total": "accepted_tokens_total",
}
_FORMER = {"vllm:gpu_cache_usage_perc": "vllm:kv_cache_usage_perc"}
"""Names until vLLM 0.10. ``gpu_prefix_cache_hits``, which counted blocks or tokens by release, is not read."""
_SHARES = frozenset({"kv_cache_usage"})
_SAMPLE = re.compile(r"(?P<name>[\w:]+)(?:\{.*\})?\s+(?P<value>\S+)")  # a time stamp may follow


def parse_metrics(text: str) -> dict[str, float]:
    """Return our columns from Prometheus text, summed over label sets; a metric that is missing is left out.

    A share of each engine's own cache is no sum: with data parallelism it is their mean. A server that writes a metric
    by its former name too, as vLLM does for some releases, is read once.
    """
    found: dict[str, list[float]] = {}
    for line in text.splitlines():
        sample = _SAMPLE.match(line)
        name = sample["name"] if sample else ""
        if sample and (name in METRICS or name in _FORMER) and (value := finite(sample["value"])) is not None:
            found.setdefault(name, []).append(value)
    for former, name in _FORMER.items():
        if former in found:
            found.setdefault(name, found.pop(former))
    return {
        column: sum(found[name]) / (len(found[name]) if column in _SHARES else 1)
        for name, column in METRICS.items()
        if name in found
    }


def finite(value: str) -> float | None:
    """Read a value of Prometheus text; None where it is no number: a server may write NaN for what it does not know."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


class EngineScraper:
    """A thread that writes one row a second while the ``with`` block runs; a failed scrape is a missing row.

    It is also what notices an engine that hangs: a process that is there, and does nothing any more.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self._url = f"{url}/metrics"
        self._answered_ns = self._moved_ns = now_ns()
        self._tokens: tuple[float | None, ...] = ()
        self._problem: TraceError | None = None
        self._writer = TraceWriter(folder, "engine")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine-scraper", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._writer.close()

    def check(self, hang_s: float) -> None:
        """Look at the engine.

        Raises:
            EngineError: it has not answered, or has had requests and made no token, for so long.
            TraceError: what it said could not be written.
        """
        if self._problem is not None:
            raise self._problem
        for since_ns, what in (
            (self._answered_ns, "has not answered"),
            (self._moved_ns, "has had requests and made no token"),
        ):
            if now_ns() - since_ns > hang_s * 1e9:
                raise EngineError(
                    f"the engine {what} for {hang_s:g} s (engine.hang_timeout_s): it is taken for hung"
                )

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._scrape()
                self._stop.wait(PERIOD_S)
            self._scrape()
        except TraceError as error:
            self._problem = error

    def _scrape(self) -> None:
        try:
            text = answer_of(self._url, PERIOD_S).decode(errors="replace")
        except urllib.error.HTTPError:
            # A server without metrics: that it answers is all there is.
            self._answered_ns = self._moved_ns = now_ns()
            return
        except OSError:
            return
        values = parse_metrics(text)
        self._answered_ns = now_ns()
        tokens = tuple(values.get(name) for name in _TOKENS)
        if tokens != self._tokens or not values.get("running", 0.0) + values.get("waiting", 0.0):
            self._tokens, self._moved_ns = tokens, now_ns()
        if values:
            self._writer.append({"t_ns": now_ns(), **values})
