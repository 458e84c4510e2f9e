"""Tell how much longer a load test takes, from what was asked for, or from its own pace."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from configs.loads import Open
from loadgen.planning.arrivals import mean_rate
from loadgen.spec import LoadSpec


class TimeLeft:
    """Tell the time left of one load: an open one, or one of a stated duration, is as long as it was asked to be."""

    def __init__(self, spec: LoadSpec) -> None:
        self._warmup_s = spec.warmup_s
        self._window_s: float | None = None
        if spec.amount.kind == "duration":
            self._window_s = spec.amount.seconds
        elif isinstance(spec.load, Open) and spec.amount.kind == "requests":
            self._window_s = spec.amount.requests / mean_rate(spec.load)
        self._began_s: float | None = None
        self._window_began_s: float | None = None

    def after(self, progress: Mapping[str, Any]) -> float | None:
        """Return the seconds from now, by the progress that was just heard of; None while it can't be told."""
        now_s = time.monotonic()
        self._began_s = self._began_s or now_s
        if progress["phase"] != "warmup":
            self._window_began_s = self._window_began_s or now_s
        if self._window_s is not None:
            return max(self._began_s + self._warmup_s + self._window_s - now_s, 0.0)
        if self._window_began_s is None or not progress["ended"] or not progress["planned"]:
            return None
        pace_s = (now_s - self._window_began_s) / int(progress["ended"])
        return pace_s * max(int(progress["planned"]) - int(progress["ended"]), 0)
