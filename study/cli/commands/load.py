"""``starwatt load``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from configs.loads import FindRate
from study.cli.options import JsonFlag, Quiet, exit_with, refuse

_SEARCH = FindRate(kind="find_rate")
"""Its defaults are those of a study's load."""
_Url = Annotated[str, Option("--url", "--base-url", "--target", help="The endpoint, with or without /v1.")]
_ServedName = Annotated[
    str | None,
    Option(
        help="The name that requests use, where --model says otherwise what is served: runs are compared where model, "
        "variant and load are called the same.",
    ),
]
_Concurrency = Annotated[
    int | None,
    Option(
        "--concurrency",
        "--max-concurrency",
        min=1,
        help="Requests in flight; with --qps or --trace: at most.",
    ),
]


def _checked_rates(text: str | None) -> str | None:
    from loadgen.flags import rates_of

    try:
        rates_of(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return text


_Qps = Annotated[
    str | None,
    Option(
        "--qps",
        "--request-rate",
        metavar="R[,R...]",
        callback=_checked_rates,
        help="Requests a second, whatever the server does; several: one test after the other, in OUT/<load>.",
    ),
]
_Arrivals = Annotated[str | None, Option(help="With --qps: constant or poisson (unless said).")]
_Trace = Annotated[
    Path | None,
    Option(
        help="In place of --qps: a file of arrivals, one offset in seconds a line; or a recording with lengths of "
        "prompts and answers (Azure's or BurstGPT's table, Mooncake's JSON Lines), which are then asked."
    ),
]
_MostTokens = Annotated[
    int | None,
    Option(
        "--most-tokens",
        min=2,
        help="With a --trace that has lengths: requests of more tokens, prompt and answer, are left out.",
    ),
]
_Duration = Annotated[
    float | None, Option("--duration", "--max-seconds", help="Seconds of measured requests.")
]
_Requests = Annotated[
    int | None,
    Option("--requests", "--num-prompts", "--max-requests", min=1, help="Number of measured requests."),
]
_Warmup = Annotated[
    float | None,
    Option(min=0, help="Seconds of the same load before; unless said 0, with --meter 5."),
]
_Dataset = Annotated[str, Option(help="The prompts: starwatt-24, humaneval+, mbpp+, or a .jsonl file.")]
_IgnoreEos = Annotated[bool, Option("--ignore-eos", help="Every answer has max-tokens tokens.")]
_Client = Annotated[
    str,
    Option(help="wire (sent and timed outside Python), httptools, or aiohttp for proxies and odd servers."),
]
_ContinuousUsage = Annotated[
    bool,
    Option(
        "--continuous-usage/--no-continuous-usage",
        help="Ask for the tokens of each chunk (stream_options.continuous_usage_stats).",
    ),
]
_Slo = Annotated[str | None, Option(help="Bounds that good requests keep, such as ttft=200ms,tpot=50ms.")]
_Endpoint = Annotated[
    str, Option(help="The API that is asked: completions, or chat, in the model's own template.")
]
_Meter = Annotated[
    str | None,
    Option(help="Record power beside it: local (this machine's), or the URL of a starwatt meter --serve."),
]
_FindRate = Annotated[
    bool,
    Option(
        "--find-rate",
        help="Look for the highest rate at which enough requests keep --slo, from --qps on where that is given:"
        f" OUT/rate.json, and a load test a window, --duration ({_SEARCH.window_s:g}) long at least.",
    ),
]
_SloShare = Annotated[
    float,
    Option(
        min=0.5, max=0.999, help="With --find-rate: the share of good requests from which on a rate holds."
    ),
]
_MostQps = Annotated[
    float,
    Option(min=0.001, max=100_000, help="With --find-rate: the highest rate that is tried."),
]
_SearchFor = Annotated[
    float,
    Option(min=1, max=86_400, help="With --find-rate: seconds, after which it ends with what it knows."),
]
_OF_GIVEN_LOADS = ("single_stream", "trace", "most_tokens", "requests")
_WARM_S = 5.0
"""With --meter, unless said: power steps up as a load begins, and a step at a window's edge is most of its error."""


def load(
    context: typer.Context,
    url: _Url,
    model: Annotated[str, Option(help="What the endpoint serves, by the name that requests use.")],
    out: Annotated[Path, Option(help="A new folder for requests.parquet and summary.json.")],
    served_model_name: _ServedName = None,
    variant: Annotated[str, Option(help="What the cell is called among variants.")] = "endpoint",
    single_stream: Annotated[bool, Option("--single-stream", help="One request at a time.")] = False,
    concurrency: _Concurrency = None,
    qps: _Qps = None,
    arrivals: _Arrivals = None,
    trace: _Trace = None,
    most_tokens: _MostTokens = None,
    duration: _Duration = None,
    requests: _Requests = None,
    warmup: _Warmup = None,
    endpoint: _Endpoint = "completions",
    dataset: _Dataset = "starwatt-24",
    max_tokens: Annotated[int, Option(min=1, help="The longest answer.")] = 512,
    ignore_eos: _IgnoreEos = False,
    seed: Annotated[int, Option(min=0, max=2**32 - 1, help="Draws order and arrivals.")] = 20,
    workers: Annotated[int, Option(min=1, help="Processes that share the schedule.")] = 1,
    client: _Client = "auto",
    timeout: Annotated[float, Option(help="Seconds that a request may take.")] = 600.0,
    continuous_usage: _ContinuousUsage = True,
    slo: _Slo = None,
    find_rate: _FindRate = False,
    slo_share: _SloShare = _SEARCH.share,
    most_qps: _MostQps = _SEARCH.most_qps,
    search_for: _SearchFor = _SEARCH.search_for_s,
    meter: _Meter = None,
    as_json: JsonFlag = False,
    _quiet: Quiet = False,
) -> None:
    """Load-test any OpenAI-compatible endpoint: OUT/requests.parquet and OUT/summary.json.

    OUT is a run of one cell, which analyze, report, compare, grade and verify read; with --meter it has joules.
    STARWATT_API_KEY is sent to the endpoint as bearer token, STARWATT_METER_TOKEN to the meter's service. SSL_CERT_FILE
    names certificates to trust. Exit code 1: no request was completed, a closed load gave up, or no rate holds.
    """
    from loadgen.flags import LoadFlags, rates_of
    from study.cli.load import look_for_rate
    from study.cli.sweep import run_loads
    from study.load.called import Called
    from study.rate.flags import search_of

    warmup = (0.0 if meter is None else _WARM_S) if warmup is None else warmup
    flags = LoadFlags(
        url=url, model=served_model_name or model, single_stream=single_stream, concurrency=concurrency, qps=None,
        arrivals=arrivals, trace=trace, duration=duration, requests=requests, warmup=warmup, dataset=dataset,
        max_tokens=max_tokens, ignore_eos=ignore_eos, seed=seed, workers=workers, client=client, timeout=timeout,
        continuous_usage=continuous_usage, endpoint=endpoint, most_tokens=most_tokens,
    )  # fmt: skip
    if find_rate:
        refuse(context, _OF_GIVEN_LOADS, "says nothing with --find-rate")
        search = search_of(flags, rates_of(qps), slo, slo_share, most_qps, search_for)
        return exit_with(look_for_rate(*search, out, meter, Called(model, variant), as_json=as_json))
    refuse(context, ("slo_share", "most_qps", "search_for"), "goes with --find-rate")
    specs = [replace(flags, qps=rate).spec() for rate in rates_of(qps)] or [flags.spec()]
    return exit_with(run_loads(specs, out, meter, slo, Called(model, variant), as_json=as_json))
