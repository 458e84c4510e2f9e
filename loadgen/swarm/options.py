"""Locust's command line for our loads: the options of ``starwatt load``, and the load that they ask for."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from loadgen.flags import LoadFlags
from loadgen.spec import LoadSpec
from loadgen.swarm.distributed import shared_by
from starwatt_errors import UsageError

_OPTIONS: tuple[tuple[str, type, Any, str], ...] = (
    ("model", str, None, "The name that the endpoint serves"),
    ("concurrency", int, None, "Requests in flight"),
    ("qps", float, None, "Requests a second, whatever the server does"),
    ("arrivals", str, None, "With --qps: constant or poisson"),
    ("trace", str, None, "In place of --qps: a file of arrivals, or a recording with lengths"),
    ("most-tokens", int, None, "With a --trace that has lengths: longer requests are left out"),
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
    """Add the options of ``starwatt load``; its --url is Locust's --host."""
    group = parser.add_argument_group("starwatt")
    for name, kind, default, words in _OPTIONS:
        group.add_argument(f"--{name}", type=kind, default=default, help=words)
    group.add_argument("--single-stream", action="store_true", help="One request at a time")
    group.add_argument(
        "--no-continuous-usage", action="store_true", help="Do not ask for the tokens of each chunk"
    )
    group.add_argument("--ignore-eos", action="store_true", help="Every answer has max-tokens tokens")


def spec_of(options: Any, host: str | None, workers: int = 1) -> LoadSpec:
    """Return the load that Locust's options ask for, shared by at most so many processes.

    Raises:
        UsageError: an option is missing or wrong, or two contradict each other.
    """
    given = {name: value for name, value in vars(options).items() if value not in (None, "")}
    if "spec" in given:
        return LoadSpec.model_validate_json(Path(given["spec"]).read_bytes())
    if not host or "model" not in given or "out" not in given:
        raise UsageError("takes --host, --model and --out")
    flags: dict[str, Any] = {
        field.name: given.get(field.name) for field in fields(LoadFlags) if hasattr(options, field.name)
    }
    flags["url"] = host
    flags["trace"] = Path(given["trace"]) if "trace" in given else None
    flags["continuous_usage"] = not given.get("no_continuous_usage")
    spec = LoadFlags(**flags).spec()
    return spec.model_copy(update={"workers": shared_by(spec, workers)})
