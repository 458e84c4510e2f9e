"""``starwatt meter -- COMMAND``: the joules of any command, from its start to its end."""

from __future__ import annotations

import shutil
import signal
import subprocess
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from starwatt_errors import UsageError
from study.cli.answers import print_json
from study.library.measure import Doubtful, Measurement, measure
from study.progress.display import tell


def meter_command(
    command: Sequence[str], out: Path | None, hz: float, *, estimate: bool, as_json: bool
) -> int:
    """Run a command with this terminal, and say what its time took in joules; returns its exit code.

    Ctrl-C and SIGTERM are the command's to obey: its joules until then are printed.

    Raises:
        UsageError: there is no such program, or ``out`` holds a recording.
        MeterError: no meter answers, and no estimate was asked for.
    """
    if shutil.which(command[0]) is None:
        raise UsageError(f"{command[0]}: there is no such program")
    measurement = measure(estimate=estimate, meters={"sample_hz": hz}, folder=out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Doubtful)  # told below, in a line
        with measurement:
            code = _run(command)
    if as_json:
        print_json({"exit_code": code, "command": list(command), **_record(measurement)})
        return code
    for words in measurement.left_out:
        tell(f"left out: {words}")
    for boundary in measurement.boundaries:
        tell(str(boundary))
    if not measurement.valid:
        tell(f"not to be believed: {measurement.why}")
    tell(f"in {measurement.seconds:.4g} s")
    return code


def _record(measurement: Measurement) -> dict[str, object]:
    return {
        "seconds": measurement.seconds,
        "valid": measurement.valid,
        "problem": measurement.problem,
        "boundaries": [{**vars(boundary), "valid": boundary.valid} for boundary in measurement.boundaries],
        "devices": [{**vars(device), "valid": device.valid} for device in measurement.devices],
    }


def _run(command: Sequence[str]) -> int:
    """Run the command; return its exit code, or 128 and the number of the signal that ended it, as shells say it."""
    try:
        process = subprocess.Popen(list(command))
    except OSError as error:
        raise UsageError(f"{command[0]}: cannot be run: {error.strerror}") from error
    with process, _handed_on_to(process):
        code = process.wait()
    return code if code >= 0 else 128 - code


@contextmanager
def _handed_on_to(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Hand SIGTERM on to the command; Ctrl-C reaches it through the terminal. Neither ends this process."""

    def terminate(_number: int, _frame: FrameType | None) -> None:
        process.terminate()

    def wait(_number: int, _frame: FrameType | None) -> None:
        """Leave it to the command, which heard it too."""

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, terminate)
    signal.signal(signal.SIGINT, wait)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
