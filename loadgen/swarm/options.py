"""Locust's command line for our loads: the options of ``starwatt load``, and the load that they ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from configs.files.problems import problems
from loadgen.spec import LoadSpec
from starwatt_errors import UsageError

_DRAIN_S = 60.0
_OPTIONS: tuple[tuple[str, type, Any, str], ...] = (
    ("model", str, None, "The name that the endpoint serves"),
    ("concurrency", int, None, "Requests in flight"),
    ("qps", float, None, "Requests a second, whatever the server does"),
    ("arrivals", str, None, "With --qps: constant or poisson"),
    ("trace", str, None, "In place of --qps: a CSV file of arrivals, one offset in seconds a line"),
    ("duration", float, None, "Seconds of measured requests"),
    ("requests", int, None, "Number of measured requests"),
    ("warmup", float, 0.0, "Seconds of the same load before"),
    ("endpoint", str, "completions", "The API that is asked: completions or chat"),
    ("dataset", str, "starwatt-24", "The prompts: starwatt-24, humaneval+ or mbpp+"),
    ("max-tokens", int, 512, "The longest answer"),
    ("timeout", float, 600.0, "Seconds that a request may take"),
    ("seed", int, 20, "Draws order and arrivals"),
    ("out", str, None, "A new folder for the trace"),
    ("spec", str, None, "In place of all others but --out: a load as JSON, which a study gives its master"),
)


def add_options(parser: Any) -> None:
    """The options of ``starwatt load``; its --url is Locust's --host."""
    group = parser.add_argument_group("starwatt")
    for name, kind, default, words in _OPTIONS:
        group.add_argument(f"--{name}", type=kind, default=default, help=words)
    group.add_argument("--single-stream", action="store_true", help="One request at a time")
    group.add_argument(
        "--no-continuous-usage", action="store_true", help="Do not ask for the tokens of each chunk"
    )
    group.add_argument("--ignore-eos", action="store_true", help="Every answer has max-tokens tokens")


def spec_of(options: Any, host: str | None, workers: int = 1) -> LoadSpec:
    """The load that Locust's options ask for, shared by at most so many processes.

    Raises:
        UsageError: an option is missing or wrong, or two contradict each other.
    """
    given = {name: value for name, value in vars(options).items() if value not in (None, "")}
    if "spec" in given:
        return LoadSpec.model_validate_json(Path(given["spec"]).read_bytes())
    if not host or "model" not in given or "out" not in given:
        raise UsageError("takes --host, --model and --out")
    load: dict[str, Any] = {"kind": "single_stream"}
    if "concurrency" in given:
        load = {"kind": "closed", "concurrency": given["concurrency"]}
    elif "qps" in given or "trace" in given:
        load = {
            "kind": "open",
            **{name: given[name] for name in ("qps", "arrivals", "trace") if name in given},
        }
    if [bool(given.get("single_stream")), "concurrency" in given, "qps" in given or "trace" in given].count(
        True
    ) != 1:
        raise UsageError("takes one of --single-stream, --concurrency N, --qps R, --trace FILE")
    if ("duration" in given) == ("requests" in given):
        raise UsageError("takes one of --duration S, --requests N")
    amount = (
        {"kind": "requests", "requests": given["requests"]}
        if "requests" in given
        else {"kind": "duration", "seconds": given["duration"]}
    )
    most = 1 if load["kind"] == "single_stream" else int(load.get("concurrency", workers))
    fields = {
        "url": host,
        "endpoint": given["endpoint"],
        "model": given["model"],
        "load": load,
        "amount": amount,
        "prompts": {
            "dataset": given["dataset"],
            "max_tokens": given["max_tokens"],
            "output": {"fixed": given["max_tokens"]} if given.get("ignore_eos") else "natural",
        },
        "warmup_s": given["warmup"],
        "request_timeout_s": given["timeout"],
        "drain_s": _DRAIN_S,
        "continuous_usage": not given.get("no_continuous_usage"),
        "seed": given["seed"],
        "block": 1,
        "workers": min(workers, most),
    }
    try:
        return LoadSpec.model_validate(fields)
    except ValidationError as error:
        first = problems(error, LoadSpec, fields)[0]
        raise UsageError(f"{'.'.join(map(str, first.location))}: {first.message}") from error
