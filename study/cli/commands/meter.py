"""``starwatt meter``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from starwatt_errors import UsageError
from study.cli.options import JsonFlag, Quiet, exit_with, refuse

_Pid = Annotated[
    int | None,
    Option(min=1, max=2**31 - 1, help="Server whose CPU time is modelled without a meter."),
]
_OF_A_SERVICE = ("host", "port", "certificate", "key", "allow_plain")
_Load = Annotated[
    bool, Option("--load/--no-load", help="With --calibrate: switch a load on and off on each GPU.")
]
_Against = Annotated[
    Path | None,
    Option(
        metavar="LOG",
        help="With --calibrate: find the GPU's gain beside the log of a meter that is trusted.",
    ),
]
_Serve = Annotated[
    bool, Option("--serve", help="Offer it over HTTP: for starwatt load --meter URL, and /metrics.")
]
_Plain = Annotated[
    bool, Option("--allow-plain-http", help="With --serve: other machines may ask without TLS.")
]


_Estimate = Annotated[
    bool, Option("--estimate", help="With COMMAND: where no meter answers, CPU time x watts.")
]


def meter(
    context: typer.Context,
    command: Annotated[
        list[str] | None, Argument(metavar="[-- COMMAND...]", help="A command, behind --.")
    ] = None,
    out: Annotated[Path | None, Option(help="Folder for power.parquet.")] = None,
    pid: _Pid = None,
    hz: Annotated[float, Option(min=0.1, max=100, help="Readings a second.")] = 20.0,
    calibrate: Annotated[
        bool, Option("--calibrate", help="Say how this machine's GPU sensors behave, and end.")
    ] = False,
    apply_load: _Load = True,
    against: _Against = None,
    serve_http: _Serve = False,
    host: Annotated[str, Option(help="With --serve: address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Option(min=0, max=65535, help="With --serve; 0: any free one.")] = 9520,
    certificate: Annotated[Path | None, Option(help="With --serve: PEM file, for TLS.")] = None,
    key: Annotated[Path | None, Option(help="With --serve: PEM file of its key.")] = None,
    allow_plain: _Plain = False,
    estimate: _Estimate = False,
    as_json: JsonFlag = False,
    _quiet: Quiet = False,
) -> None:
    """Record power: of a COMMAND, its joules and its exit code; else OUT/power.parquet, until Ctrl-C.

    With a COMMAND the machine's meters are read from its start to its end, whoever used the power.
    With --serve, an HTTP service in its place; its token is STARWATT_METER_TOKEN, or drawn and printed to stderr.
    With --calibrate, what its sensors are like; with --against too, the factor and the offset of the one visible GPU
    (one minute, a load switched on and off).
    """
    from server.power.service.listen import Listening
    from study.cli import meter as meters

    if command:
        words = "says nothing beside a COMMAND"
        refuse(context, ("pid", "calibrate", "against", "serve_http", "apply_load", *_OF_A_SERVICE), words)
        from study.cli.command_joules import meter_command

        exit_with(meter_command(command, out, hz, estimate=estimate, as_json=as_json))
        return
    if [calibrate, serve_http, out is not None].count(True) != 1:
        raise UsageError("meter takes one of -- COMMAND, --out DIR, --serve, --calibrate")
    if against is not None and not calibrate:
        raise UsageError("--against belongs to --calibrate")
    _refuse_what_says_nothing(context, serve_http=serve_http, calibrate=calibrate)
    if against is not None:
        meters.calibrate_against(against, as_json=as_json, load=apply_load)
    elif calibrate:
        meters.calibrate_sensors(as_json=as_json, load=apply_load)
    elif out is None:
        meters.serve_meter(Listening(host, port, certificate, key, allow_plain), pid, hz)
    else:
        meters.record(out, pid, hz)


def _refuse_what_says_nothing(context: typer.Context, *, serve_http: bool, calibrate: bool) -> None:
    if not serve_http:
        refuse(context, _OF_A_SERVICE, "goes with --serve")
    refuse(context, ("estimate",), "goes with -- COMMAND")
    if not calibrate:
        refuse(context, ("apply_load",), "goes with --calibrate")
        refuse(context, ("as_json",), "goes with --calibrate or -- COMMAND")
        return
    words = "goes with --out or --serve: --calibrate reads sensors as fast as they change"
    refuse(context, ("pid", "hz"), words)
