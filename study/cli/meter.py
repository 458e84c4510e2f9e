"""``starwatt meter``: the power sidecar alone, as a file or a service, and the calibration of its sensors."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from configs.meters import ExternalLog, Meters
from server.power.calibration.calibrate import calibrate
from server.power.calibration.calibrate import words as calibration_words
from server.power.calibration.heater import heated
from server.power.service.app import MeterService
from server.power.service.listen import Listening, address
from server.power.service.listen import serve as listen
from server.power.service.token import TOKEN_VARIABLE, token_of_the_service
from server.power.sidecar import Sidecar
from starwatt_errors import UsageError
from study.cli.answers import print_answer
from study.progress.display import Display, tell

_POLL_S = 0.2


def record(out: Path, pid: int | None, hz: float) -> None:
    """Sample until interrupted."""
    for name, what in (
        ("power.parquet", "already"),
        ("power.arrows", "that is still written or was cut off"),
    ):
        if (out / name).exists():
            raise UsageError(f"--out {out} holds a recording ({name}) {what}: take a new folder")
    sidecar = Sidecar.start(out, Meters(sample_hz=hz), engine_pid=pid)
    try:
        for words in sidecar.left_out:
            tell(f"left out: {words}")
        for device in sidecar.devices:
            print(f"{device['name']}\t{device['boundary']}\t{device['source']}\t{device['note']}", flush=True)  # noqa: T201
        while True:
            sidecar.check_alive()
            time.sleep(_POLL_S)
    finally:
        sidecar.stop()


def serve_meter(listening: Listening, pid: int | None, hz: float) -> None:
    """Offer the sidecar over HTTP until interrupted. A token that was drawn here goes to stderr alone."""
    context = listening.tls()
    token, drawn = token_of_the_service()
    with listening.bind() as bound:
        tell("looking at the meters")
        service = MeterService(Meters(sample_hz=hz), token, engine_pid=pid)
        if drawn:
            print(f"{TOKEN_VARIABLE}={token}", file=sys.stderr, flush=True)  # noqa: T201 -- rich would wrap it
        listen(service, bound, context, lambda: print(address(listening, bound), flush=True))  # noqa: T201
    raise KeyboardInterrupt


def calibrate_sensors(*, as_json: bool, load: bool) -> None:
    """Watch the sensors for some seconds, each board driven by a load or as it is, and print what was found."""
    with Display("calibrating", 1) as display:
        display.title("sensors")
        calibration = calibrate(load=heated if load else None)
    print_answer(calibration, calibration_words(calibration), as_json=as_json)


def calibrate_against(log: Path, *, as_json: bool, load: bool) -> None:
    """Find the visible GPU's gain beside a trusted meter's log, and print it as a study takes it."""
    from server.power.calibration.watch_both import gain_against

    if not log.is_file():
        raise UsageError(f"--against {log}: there is no such file")
    with Display("calibrating", 1) as display:
        display.title("gain")
        comparison = gain_against(ExternalLog(file=log), heated if load else None, say=display.status)
    print_answer(comparison.record(), comparison.words(), as_json=as_json)
