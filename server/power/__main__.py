"""The sidecar's process: ``python -m server.power --out DIR ...``; stops on SIGTERM or SIGINT.

Prints one JSON line when it samples ("ready", with its devices) and one when it has ended (how well it kept time,
and what it cost).
"""

from __future__ import annotations

import argparse
import json
import queue
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from traces.cycles import cycles_left_alone
from traces.lean import keep_pandas_out

with cycles_left_alone():
    from configs.meters import Meters
    from server.power.claim import claimed
    from server.power.meter import Meter
    from server.power.meters import on_the_engines_boards, open_meters
    from server.power.modelled import Beside
    from server.power.nvidia.exclusivity import Occupancy, Watch
    from server.power.nvidia.library import NoDriverError, opened
    from server.power.nvidia.nvml import NvmlMeter
    from server.power.rapl import RaplMeter
    from server.power.sampler import Sampler, Schedule
    from starwatt_errors import MeterError, StarwattError


def main() -> int:
    """Open the meters, say so, sample until told to stop."""
    parser = argparse.ArgumentParser(prog="server.power", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--meters", required=True, help="the study's meters, as JSON")
    parser.add_argument("--pid", type=int, help="root of the process tree that `modelled` looks at")
    parser.add_argument(
        "--resident",
        type=int,
        action="append",
        default=[],
        help="another engine of the study, loaded and idle",
    )
    arguments = parser.parse_args()
    settings = Meters.model_validate_json(arguments.meters)
    stop = _told_to_stop()
    try:
        with claimed(arguments.out):
            _record(arguments.out, settings, arguments.pid, arguments.resident, stop)
    except StarwattError as error:
        print(error, file=sys.stderr)  # noqa: T201 -- read by server/power/sidecar.py
        return error.exit_code
    except OSError as error:
        print(f"{error.filename or arguments.out}: {error.strerror or error}", file=sys.stderr)  # noqa: T201
        return MeterError.exit_code
    return 0


def _record(
    folder: Path, settings: Meters, pid: int | None, residents: list[int], stop: threading.Event
) -> None:
    settings = on_the_engines_boards(settings, pid)
    meters = open_meters(settings, pid)
    devices = [vars(device) for meter in meters for device in meter.devices]
    left_out = [
        str(words) for meter in meters if isinstance(meter, NvmlMeter | RaplMeter) for words in meter.left_out
    ]
    ready = {"ready": True, "devices": devices, "left_out": left_out}
    with ExitStack() as held:
        for meter in meters:
            held.callback(meter.close)
        sampler = Sampler(
            meters,
            Schedule(settings.sample_hz, settings.counter_hz),
            _watch(meters, settings, pid, residents, held),
            require_exclusive=settings.require_exclusive,
        )
        beside = Beside(residents)
        summary = sampler.run(folder, stop, lambda: _say(ready))
        share = beside.cpu_share()
    _say({**vars(summary), "residents_cpu_share": share})


def _watch(
    meters: list[Meter], settings: Meters, pid: int | None, residents: list[int], held: ExitStack
) -> Callable[[], list[Occupancy]] | None:
    """Looks at who is on the GPUs, where some are read, or none as the engine is on none."""
    read = [device.name for meter in meters if isinstance(meter, NvmlMeter) for device in meter.devices]
    if not read and not (settings.sources == "auto" and settings.gpus == ()):
        return None
    try:
        held.enter_context(opened())
        return Watch(pid, read, residents).look
    except NoDriverError:
        return None


def _told_to_stop() -> threading.Event:
    """Set by SIGTERM or SIGINT, through a thread and the one queue whose ``put`` is reentrant: a handler runs within
    the very ``wait`` of the event that it would set, and can find its lock held.
    """
    stop, told = threading.Event(), queue.SimpleQueue[int]()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda number, _: told.put(number))

    def wait() -> None:
        told.get()
        stop.set()

    threading.Thread(target=wait, name="signals", daemon=True).start()
    return stop


def _say(message: dict[str, object]) -> None:
    print(json.dumps(message), flush=True)  # noqa: T201 -- the protocol with server/power/sidecar.py


if __name__ == "__main__":
    keep_pandas_out()
    raise SystemExit(main())
