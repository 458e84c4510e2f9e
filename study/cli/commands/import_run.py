"""``starwatt import``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from starwatt_errors import UsageError
from study.cli.options import JsonFlag, exit_with

_SPAN = re.compile(r"(?P<number>-?[0-9]+(?:\.[0-9]+)?)(?P<unit>ms|s|min|h)?")
_LONGEST_S = 3.2e9  # a clock that nobody has set begins in 1970 or in 2000
_UNITS_S = {None: 1.0, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}

_Files = Annotated[
    list[Path],
    Argument(
        metavar="REQUESTS",
        help="JSON of vllm bench serve (--save-detailed) or GuideLLM, aiperf's profile_export.jsonl, or CSV.",
    ),
]
_Power = Annotated[
    list[str] | None,
    Option(
        metavar="LOG[,FIELD=VALUE...]",
        help="A power log in any form that meters.external reads, with its fields; may be given again.",
    ),
]
_ModelName = Annotated[str | None, Option(help="What was served, where the file does not say.")]
_Load = Annotated[
    str | None, Option(help="How requests were offered (closed-8), where the file does not say.")
]
_Block = Annotated[int | None, Option(min=1, max=10_000, help="Unless said, the next one of this cell.")]
_Offset = Annotated[str, Option(help="The power log's clock minus that of the requests, such as -0.2s.")]
_Uncertainty = Annotated[str, Option(help="Half-width of what is not known of that, such as 50ms.")]
_At = Annotated[
    str | None,
    Option(help="When the first request was sent, of vllm bench serve: ISO 8601, or seconds since 1970."),
]
_SameBoot = Annotated[
    bool, Option("--same-boot", help="vllm bench serve ran on this machine since it was started.")
]
_Zone = Annotated[str | None, Option(help="Of times that name none: local, or Europe/Berlin.")]
_Idle = Annotated[
    tuple[float, float] | None,
    Option(
        metavar="FROM TO",
        help="Nothing was asked of the engine from so many seconds before the first request to so many.",
    ),
]


def import_run(
    files: _Files,
    out: Annotated[Path, Option(help="A new run directory, or one that was imported before.")],
    power: _Power = None,
    model: _ModelName = None,
    variant: Annotated[str, Option(help="What the cell is called among variants.")] = "endpoint",
    load: _Load = None,
    block: _Block = None,
    clock_offset: _Offset = "0s",
    clock_uncertainty: _Uncertainty = "100ms",
    at: _At = None,
    same_boot: _SameBoot = False,
    zone: _Zone = None,
    idle: _Idle = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a run directory of what others measured: requests by another tool, beside a power log.

    analyze, report, compare and verify read it. Every load of a file is a cell; the same cell again is its next block.
    What the files do not say is null, with its reason.
    """
    from study.cli.import_run import import_and_tell
    from study.imported.calendar import Stated
    from study.imported.run import ImportOrder

    if at is not None and same_boot:
        raise UsageError("--at and --same-boot both say when the requests were: give one")
    uncertainty_s = _seconds("--clock-uncertainty", clock_uncertainty)
    if uncertainty_s < 0:
        raise UsageError(f"--clock-uncertainty {clock_uncertainty}: takes no time below 0")
    order = ImportOrder(
        files=tuple(files), out=out, power=tuple(power or ()), model=model, variant=variant, load=load, block=block,
        clock_offset_s=_seconds("--clock-offset", clock_offset), clock_uncertainty_s=uncertainty_s,
        stated=Stated(_instant(at, zone), same_boot, _checked_zone(zone)), idle_s=idle,
    )  # fmt: skip
    exit_with(import_and_tell(order, as_json=as_json))


import_run.__name__ = "import"


def _seconds(flag: str, text: str) -> float:
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{flag} {text}: takes a time such as 0.2s, 50ms or 1h")
    seconds = float(match["number"]) * _UNITS_S[match["unit"]]
    if abs(seconds) > _LONGEST_S:
        raise UsageError(f"{flag} {text}: takes at most {_LONGEST_S:g} s, a century")
    return seconds


def _checked_zone(zone: str | None) -> str | None:
    from configs.files.values import checked_zone

    try:
        return checked_zone(zone)
    except ValueError as error:
        raise UsageError(f"--zone {zone}: {error}") from error


def _instant(at: str | None, zone: str | None) -> float | None:
    from configs.files.values import seconds

    if at is None:
        return None
    try:
        return seconds(at, _checked_zone(zone))
    except ValueError as error:
        raise UsageError(f"--at {at}: is no time: {error}") from error
