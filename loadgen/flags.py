"""The flags of ``starwatt load``, which Locust takes too, as the load generator's spec."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from configs.datasets import check_flag, is_own
from configs.files.problems import words_of
from configs.loads import Load
from configs.recordings import read_recording
from configs.schema import FixedOutput, Prompts
from loadgen.planning.payload import Endpoint
from loadgen.spec import Duration, LoadSpec, Requests
from starwatt_errors import UsageError

_LOADS: TypeAdapter[Load] = TypeAdapter(Load)
_DRAIN_S = 60.0
_FLAGS = {
    "seconds": "duration", "warmup_s": "warmup", "request_timeout_s": "timeout", "max_in_flight": "concurrency",
}  # fmt: skip
"""Flags whose fields have other names."""


def rates_of(text: str | None) -> list[float]:
    """Read ``--qps``: no rate, one, or several with commas between; raises ValueError where one is no number."""
    rates = []
    for part in () if text is None else text.split(","):
        try:
            rates.append(float(part))
        except ValueError:
            raise ValueError(f"takes a number (given: {part!r})") from None
    return rates


@dataclass(frozen=True)
class LoadFlags:
    """One field a flag, as the command line has them."""

    url: str
    model: str
    single_stream: bool
    concurrency: int | None
    qps: float | None
    arrivals: str | None
    trace: Path | None
    duration: float | None
    requests: int | None
    warmup: float
    dataset: str
    max_tokens: int
    ignore_eos: bool
    seed: int
    workers: int = 1
    client: str = "auto"
    timeout: float = 600.0
    continuous_usage: bool = True
    endpoint: str = "completions"
    most_tokens: int | None = None

    def spec(self) -> LoadSpec:
        """Return the spec these flags ask for.

        Raises:
            UsageError: a flag is missing or wrong, or two contradict each other.
        """
        self._refuse_ways()
        if self.arrivals is not None and self.qps is None:
            raise UsageError("--arrivals belongs to --qps")
        if self.most_tokens is not None and self.trace is None:
            raise UsageError("--most-tokens belongs to a --trace that has lengths")
        Endpoint.parse(self.url, "chat" if self.endpoint == "chat" else "completions")
        try:
            fields: dict[str, Any] = {
                "url": self.url,
                "endpoint": self.endpoint,
                "model": self.model,
                "load": self._load(),
                "prompts": self._prompts(),
                "amount": self._amount(),
                "warmup_s": self.warmup,
                "drain_s": _DRAIN_S,
                "seed": self.seed,
                "block": 1,
                "workers": self.workers,
                "client": self.client,
                "request_timeout_s": self.timeout,
                "continuous_usage": self.continuous_usage,
            }
            return LoadSpec.model_validate(fields)
        except ValidationError as error:
            problem = error.errors()[0]
            field = str(problem["loc"][-1] if problem["loc"] else "workers")
            flag = _FLAGS.get(field, field.replace("_", "-"))
            given = f" (given: {self.workers})" if flag == "workers" else ""
            raise UsageError(f"--{flag}: {words_of(error)}{given}") from error

    def _refuse_ways(self) -> None:
        """Refuse no way of offering requests, and several."""
        ways = {
            "--single-stream": self.single_stream,
            "--concurrency": self.concurrency is not None,
            "--qps": self.qps is not None,
            "--trace": self.trace is not None,
        }
        given = [flag for flag, is_given in ways.items() if is_given]
        if len(given) == 1 or given in (["--concurrency", "--qps"], ["--concurrency", "--trace"]):  # a cap
            return
        several = f"; not {' and '.join(given)} together" if given else ""
        raise UsageError(
            "say how requests are offered: one of --single-stream, --concurrency N, --qps R, --trace FILE"
            f"{several}"
        )

    def _load(self) -> Load:
        offered: dict[str, Any] = {"kind": "single_stream"}
        if self.qps is not None:
            offered = {
                "kind": "open", "qps": self.qps, "arrivals": self.arrivals, "max_in_flight": self.concurrency,
            }  # fmt: skip
        elif self.trace is not None:
            recording = read_recording(self.trace, self.most_tokens)
            if self.most_tokens is not None and recording.lengths is None:
                raise UsageError(f"--most-tokens: {self.trace} has arrivals alone, and no lengths")
            offered = {
                "kind": "open", "trace": self.trace.resolve(), "max_in_flight": self.concurrency,
                "most_tokens": self.most_tokens,
            }  # fmt: skip
        elif self.concurrency is not None:
            offered = {"kind": "closed", "concurrency": self.concurrency}
        return _LOADS.validate_python(offered)

    def _prompts(self) -> Prompts:
        fixed = FixedOutput(fixed=self.max_tokens) if self.ignore_eos else None
        check_flag(self.dataset)
        dataset = str(Path(self.dataset).resolve()) if is_own(self.dataset) else self.dataset
        return Prompts(dataset=dataset, max_tokens=self.max_tokens, output=fixed or "natural")

    def _amount(self) -> Duration | Requests:
        if self.duration is not None and self.requests is None:
            if self.qps is not None and 0 < self.duration * self.qps < 1:
                raise UsageError(
                    f"--duration {self.duration:g}: at --qps {self.qps:g} no request is due in that time: "
                    f"take --requests N, or {math.ceil(1 / self.qps)} s and more"
                )
            return Duration(kind="duration", seconds=self.duration)
        if self.requests is not None and self.duration is None:
            return Requests(kind="requests", requests=self.requests)
        if self.trace is not None and self.requests is None:
            return Requests(
                kind="requests", requests=len(read_recording(self.trace, self.most_tokens).offsets_ns)
            )
        raise UsageError("say how much is measured: one of --duration S, --requests N")
