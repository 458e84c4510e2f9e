"""The command line: ``starwatt COMMAND``. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 invalid, 130 interrupted.

What a command does is imported when it is called: all of it together takes longer than some of them.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import ValidationError

from configs.derived import FORMS
from configs.files.problems import words_of
from configs.loader import variant_names
from server.process.spawn import stop_children
from starwatt_errors import StarwattError, UsageError
from study import interrupts
from study.cli.failure import print_if_json
from study.cli.flags import refuse
from study.cli.help import Manual, examples
from study.exit_codes import FAILED, INTERRUPTED, INVALID, interrupted_words
from study.progress.display import tell
from study.progress.streams import in_words, make_printable, why_not_flushed

app = typer.Typer(
    cls=Manual,
    rich_markup_mode=None,  # it would draw boxes, and fold examples
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="What it costs, in joules, to serve StarCoder2 under load, and what that buys in solved tasks.",
)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
RunDirectory = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")]
_CHILDREN_GRACE_S = 10.0
DEFAULT_MODEL = "bigcode/starcoder2-3b"


@app.command(epilog=examples("doctor"))
def doctor(as_json: JsonFlag = False) -> None:
    """What this machine can do: GPUs, meters, engine, sandbox, datasets, disk."""
    from study.cli import doctor_command

    if code := doctor_command.doctor(as_json=as_json):
        raise typer.Exit(code)


@app.command(epilog=examples("build"))
def build(
    context: typer.Context,
    variants: Annotated[
        list[str] | None, typer.Argument(help=f"Of: {', '.join(variant_names())}; or {FORMS}.")
    ] = None,
    model: Annotated[str, typer.Option(help="Hub id, local path, or configs/architectures.")] = DEFAULT_MODEL,
    listing: Annotated[bool, typer.Option("--list", help="Say what the store holds, and check it.")] = False,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            help="Remove what no build finds any more: damaged, out of date, left over from a kill.",
        ),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make the checkpoints of variants (nothing to do where the store has them), or look after the store."""
    from study.cli import commands
    from study.cli import store as store_command

    if [bool(variants), listing, prune].count(True) != 1:
        raise UsageError("build takes one of VARIANT..., --list, --prune")
    if not variants:
        refuse(context, ("model",), "goes with VARIANT...: --list and --prune are of the whole store")
    if variants:
        commands.build(tuple(variants), model, as_json=as_json)
    elif listing:
        store_command.list_store(as_json=as_json)
    else:
        store_command.prune_store(as_json=as_json)


@app.command(epilog=examples("serve"))
def serve(
    variant: Annotated[str, typer.Argument(help=f"One of: {', '.join(variant_names())}; or {FORMS}.")],
    model: Annotated[str, typer.Option(help="Hub id, local path, or configs/architectures.")] = DEFAULT_MODEL,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    max_model_len: Annotated[
        int, typer.Option(min=16, max=2**24, help="Prompt and answer together, in tokens.")
    ] = 2048,
    max_num_seqs: Annotated[int, typer.Option(min=1, max=65536, help="Requests batched at most.")] = 256,
    tensor_parallel: Annotated[int, typer.Option(min=1, max=1024, help="GPUs that share each layer.")] = 1,
    enforce_eager: Annotated[bool, typer.Option(help="No torch.compile and no CUDA graphs.")] = False,
) -> None:
    """Serve one variant until Ctrl-C; prints the endpoint when it is ready.

    A key in STARWATT_API_KEY is asked of every request.
    """
    from study.cli import commands

    commands.serve(
        variant, model, host, port, max_model_len, max_num_seqs, tensor_parallel, enforce_eager=enforce_eager
    )


@app.command(epilog=examples("meter"))
def meter(
    context: typer.Context,
    out: Annotated[Path | None, typer.Option(help="Folder for power.parquet.")] = None,
    pid: Annotated[
        int | None,
        typer.Option(min=1, max=2**31 - 1, help="Server whose CPU time is modelled without a meter."),
    ] = None,
    hz: Annotated[float, typer.Option(min=0.1, max=100, help="Readings a second.")] = 20.0,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Say how this machine's GPU sensors behave, and end.")
    ] = False,
    apply_load: Annotated[
        bool, typer.Option("--load/--no-load", help="With --calibrate: switch a load on and off on each GPU.")
    ] = True,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="LOG",
            help="With --calibrate: find the GPU's gain beside the log of a meter that is trusted.",
        ),
    ] = None,
    serve_http: Annotated[
        bool, typer.Option("--serve", help="Offer it over HTTP: for starwatt load --meter URL, and /metrics.")
    ] = False,
    host: Annotated[str, typer.Option(help="With --serve: address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="With --serve; 0: any free one.")] = 9520,
    certificate: Annotated[Path | None, typer.Option(help="With --serve: PEM file, for TLS.")] = None,
    key: Annotated[Path | None, typer.Option(help="With --serve: PEM file of its key.")] = None,
    allow_plain: Annotated[
        bool, typer.Option("--allow-plain-http", help="With --serve: other machines may ask without TLS.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """The power sidecar alone, until Ctrl-C: OUT/power.parquet.

    With --serve, an HTTP service in its place; its token is STARWATT_METER_TOKEN, or drawn and printed to stderr.
    With --calibrate, what its sensors are like; with --against too, the factor and the offset of the one visible GPU
    (one minute, a load switched on and off).
    """
    from server.power.service.listen import Listening
    from study.cli import commands

    if [calibrate, serve_http, out is not None].count(True) != 1:
        raise UsageError("meter takes one of --out DIR, --serve, --calibrate")
    if not serve_http:
        refuse(context, ("host", "port", "certificate", "key", "allow_plain"), "goes with --serve")
    if not calibrate:
        refuse(context, ("apply_load", "as_json"), "goes with --calibrate")
    else:
        refuse(
            context,
            ("pid", "hz"),
            "goes with --out or --serve: --calibrate reads sensors as fast as they change",
        )
    if against is not None and not calibrate:
        raise UsageError("--against belongs to --calibrate")
    if against is not None:
        commands.calibrate_against(against, as_json=as_json, load=apply_load)
    elif calibrate:
        commands.calibrate_sensors(as_json=as_json, load=apply_load)
    elif out is None:
        commands.serve_meter(Listening(host, port, certificate, key, allow_plain), pid, hz)
    else:
        commands.meter(out, pid, hz)


@app.command(epilog=examples("load"))
def load(
    url: Annotated[
        str, typer.Option("--url", "--base-url", "--target", help="The endpoint, with or without /v1.")
    ],
    model: Annotated[str, typer.Option(help="The name that the endpoint serves.")],
    out: Annotated[Path, typer.Option(help="A new folder for requests.parquet and summary.json.")],
    single_stream: Annotated[bool, typer.Option("--single-stream", help="One request at a time.")] = False,
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency",
            "--max-concurrency",
            min=1,
            help="Requests in flight; with --qps or --trace: at most.",
        ),
    ] = None,
    qps: Annotated[
        float | None,
        typer.Option("--qps", "--request-rate", help="Requests a second, whatever the server does."),
    ] = None,
    arrivals: Annotated[
        str | None, typer.Option(help="With --qps: constant or poisson (unless said).")
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(help="In place of --qps: a CSV file of arrivals, one offset in seconds a line."),
    ] = None,
    duration: Annotated[
        float | None, typer.Option("--duration", "--max-seconds", help="Seconds of measured requests.")
    ] = None,
    requests: Annotated[
        int | None,
        typer.Option(
            "--requests", "--num-prompts", "--max-requests", min=1, help="Number of measured requests."
        ),
    ] = None,
    warmup: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds of the same load before; unless said 0, with --meter 5."),
    ] = None,
    dataset: Annotated[
        str, typer.Option(help="The prompts: starwatt-24, humaneval+, or a .jsonl file.")
    ] = "starwatt-24",
    max_tokens: Annotated[int, typer.Option(min=1, help="The longest answer.")] = 512,
    ignore_eos: Annotated[
        bool, typer.Option("--ignore-eos", help="Every answer has max-tokens tokens.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Draws order and arrivals.")] = 20,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the schedule.")] = 1,
    client: Annotated[
        str,
        typer.Option(
            help="wire (sent and timed outside Python; http only), httptools, or aiohttp for proxies and odd servers."
        ),
    ] = "auto",
    timeout: Annotated[float, typer.Option(help="Seconds that a request may take.")] = 600.0,
    continuous_usage: Annotated[
        bool,
        typer.Option(
            "--continuous-usage/--no-continuous-usage",
            help="Ask for the tokens of each chunk (stream_options.continuous_usage_stats).",
        ),
    ] = True,
    slo: Annotated[
        str | None, typer.Option(help="Bounds that good requests keep, such as ttft=200ms,tpot=50ms.")
    ] = None,
    meter: Annotated[
        str | None,
        typer.Option(
            help="Record power beside it: local (this machine's), or the URL of a starwatt meter --serve."
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Load-test any OpenAI-compatible endpoint: OUT/requests.parquet and OUT/summary.json.

    With --meter, OUT is a one-cell run that analyze and report read. STARWATT_API_KEY is sent to the endpoint as bearer
    token, STARWATT_METER_TOKEN to the meter's service. SSL_CERT_FILE names the certificates to trust where the system's
    do not do. Ctrl-C ends the load and keeps what was measured. Exit code 1: no request was completed, or a closed load
    stopped after many failures in a row.
    """
    from study.cli import commands
    from study.cli.load_flags import WARM_S, LoadFlags

    if warmup is None:
        warmup = 0.0 if meter is None else WARM_S
    flags = LoadFlags(
        url=url, model=model, single_stream=single_stream, concurrency=concurrency, qps=qps, arrivals=arrivals,
        trace=trace, duration=duration, requests=requests, warmup=warmup, dataset=dataset,
        max_tokens=max_tokens, ignore_eos=ignore_eos, seed=seed, workers=workers,
        client=client, timeout=timeout, continuous_usage=continuous_usage,
    )  # fmt: skip
    code = commands.load(flags.spec(), out, meter, slo, as_json=as_json)
    if code:
        raise typer.Exit(code)


@app.command(epilog=examples("run"))
def run(
    context: typer.Context,
    study: Annotated[Path | None, typer.Argument(metavar="STUDY.yaml", help="A study file.")] = None,
    repeat: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="RUN/study.yaml",
            help="Repeat a run, in runs/<study name>-again: same tasks and weights, or it is refused.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run directory; default runs/<study name>.")] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Show the plan and what it takes, refuse what run would, start nothing."
        ),
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try cells anew that had failed too often.")
    ] = False,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Serve the study's state on loopback for Prometheus; 0: any port."
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Run a study; the same command again resumes it.

    A cell that fails is tried again on a new engine; after so many tries (attempts in the study) it is left out,
    the others are measured, and the exit code is 1.
    """
    from study.cli import commands
    from study.records.repeat import wanted_study

    wanted = wanted_study(study, repeat, out)
    if dry_run:
        refuse(
            context, ("metrics_port", "retry_failed"), "says nothing of a --dry-run, which measures nothing"
        )
        commands.dry_run(wanted, as_json=as_json)
        return
    code = commands.run(wanted, retry_failed=retry_failed, metrics_port=metrics_port, as_json=as_json)
    if code:
        raise typer.Exit(code)


@app.command(epilog=examples("grade"))
def grade(
    run_directory: Annotated[Path | None, typer.Argument(metavar="RUN", help="A run directory.")] = None,
    samples: Annotated[
        Path | None, typer.Option(help="evalplus' samples, a file or a folder, instead of a run.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="With --samples: starwatt-24, humaneval+ (unless said), or a .jsonl file."),
    ] = None,
    sanitize: Annotated[
        bool, typer.Option("--sanitize", help="With --samples: evalplus' sanitiser first, as for a run.")
    ] = False,
    unsafe_no_sandbox: Annotated[
        bool,
        typer.Option(
            "--unsafe-no-sandbox", help="Run generated code with all that you may do on this machine."
        ),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Grade the measured completions of a run, or a file of samples, in the sandbox."""
    from study.cli import grade as grade_command
    from study.cli.grade import GradeOrder

    order = GradeOrder(run_directory, samples, dataset, sanitize, unsafe_no_sandbox)
    if not grade_command.grade(order, as_json=as_json):
        raise typer.Exit(INVALID)


@app.command(epilog=examples("analyze"))
def analyze(run_directory: RunDirectory, as_json: JsonFlag = False) -> None:
    """Make RUN/tables from the traces; needs no engine and no GPU."""
    from study.cli import commands

    if not commands.analyze_run(run_directory, as_json=as_json):
        raise typer.Exit(INVALID)


@app.command(epilog=examples("report"))
def report(
    run_directory: RunDirectory,
    out: Annotated[
        Path | None, typer.Option(help="The page to write, in place of RUN/report.html; RUN is only read.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also every figure for a paper, as SVG and PDF.")
    ] = None,
    width: Annotated[
        Literal["single", "double"],
        typer.Option(help="Of those figures: one column of a paper (3.5 inches) or both (7.16)."),
    ] = "double",
    tables: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also every table, as CSV and Parquet.")
    ] = None,
) -> None:
    """Make RUN/report.html from the tables and traces."""
    from study.cli import commands

    commands.report(run_directory, out, figures, tables, width=width)


@app.command(epilog=examples("compare"))
def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN RUN...", help="Run directories, the reference first.")
    ],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("comparison.html"),
    paper: Annotated[
        bool, typer.Option("--paper", help="Set one RUN beside the runs of arXiv 2411.12758 instead.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Set runs against the first one: the same study on two machines, two versions, before and after a change.

    With --paper, one run beside the paper's: the same variant, one request at a time, by the paper's boundaries.
    """
    from study.cli.compare import compare_runs, compare_with_paper

    (compare_with_paper if paper else compare_runs)(runs, out, as_json=as_json)


@app.command(epilog=examples("verify"))
def verify(run_directory: RunDirectory, as_json: JsonFlag = False) -> None:
    """Make every figure of RUN again from its raw files; exit code 3 where one does not hold or is invalid."""
    from study.cli import commands

    if not commands.verify_run(run_directory, as_json=as_json):
        raise typer.Exit(INVALID)


def main() -> None:
    """Run the command line; an error of ours, or of the system, is one message and its exit code."""
    interrupts.install()
    make_printable()
    try:
        code = _exit_code()
    finally:
        stop_children(grace_s=_CHILDREN_GRACE_S)
    unwritten = why_not_flushed()
    if unwritten is not None:
        code = code or FAILED
        with contextlib.suppress(OSError):
            tell(f"starwatt: {unwritten}", style="red")
    sys.exit(code)


def _exit_code() -> int:
    try:
        _refuse_what_is_not_utf8(sys.argv[1:])
        app()
    except StarwattError as error:
        return _refused(error)
    except (
        ValidationError
    ) as error:  # a number of the command line that is none, or beyond what its field takes
        field = "-".join(map(str, error.errors()[0]["loc"])) or "the command line"
        return _refused(UsageError(f"{field}: {words_of(error)}"))
    except BrokenPipeError:  # nobody reads what it prints
        return FAILED
    except (OSError, RuntimeError) as error:
        # a RuntimeError is what Path.resolve makes of a loop of symbolic links
        of_system = error if isinstance(error, OSError) else error.__context__
        if not isinstance(of_system, OSError):
            raise
        return _refused(StarwattError(in_words(of_system)))
    except (SystemExit, ImportError) as end:
        return _ended(end)
    return 0


def _refuse_what_is_not_utf8(words: list[str]) -> None:
    """Names that are not UTF-8 stand in no JSON and no Parquet file, and so in no run."""
    for word in words:
        if not word.isascii() and word.encode(errors="replace") != word.encode(errors="surrogateescape"):
            raise UsageError(
                f"the command line takes UTF-8, which {word!a} is not: rename the file or folder"
            )


def _ended(end: SystemExit | ImportError) -> int:
    """Typer makes a SystemExit of a KeyboardInterrupt, an extension that is being imported an ImportError."""
    if isinstance(end, ImportError) and not interrupts.struck():
        raise end
    code = INTERRUPTED if isinstance(end, ImportError) else end.code
    if code == INTERRUPTED:
        with contextlib.suppress(OSError):
            tell(f"starwatt: {interrupted_words(sys.argv[1] if len(sys.argv) > 1 else None)}")
    return code if isinstance(code, int) else FAILED


def _refused(error: StarwattError) -> int:
    print_if_json(str(error), error.exit_code)
    with contextlib.suppress(OSError):
        tell(f"starwatt: {error}", style="red")
    return error.exit_code
