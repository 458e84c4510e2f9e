"""Another tool's joules of one window of GPU 0; run by that tool's own interpreter: no import of ours.

Prints ``ready``, begins at a line on stdin, ends at the next, and prints joules (or why there are none) as JSON.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import threading
from typing import Any


def naive() -> float:
    """What a first script does: mean of nvmlDeviceGetPowerUsage at 1 Hz x time."""
    import time

    import pynvml

    pynvml.nvmlInit()
    handle, watts, stop = pynvml.nvmlDeviceGetHandleByIndex(0), [], threading.Event()

    def poll() -> None:
        while not stop.is_set():
            watts.append(pynvml.nvmlDeviceGetPowerUsage(handle) * 1e-3)
            stop.wait(1.0)

    _begin()
    started = time.monotonic()
    thread = threading.Thread(target=poll)
    thread.start()
    _end()
    elapsed = time.monotonic() - started
    stop.set()
    thread.join()
    return float(sum(watts) / len(watts) * elapsed)


def zeus() -> float:
    """ZeusMonitor, as its documentation has it."""
    monitor_module: Any = importlib.import_module("zeus.monitor")
    monitor = monitor_module.ZeusMonitor(gpu_indices=[0], cpu_indices=[])
    _begin()
    monitor.begin_window("window", sync_execution=False)
    _end()
    found = monitor.end_window("window", sync_execution=False)
    return float(found.gpu_energy[0])


def codecarbon() -> float:
    """OfflineEmissionsTracker with its defaults, GPU part alone."""
    library: Any = importlib.import_module("codecarbon")
    with tempfile.TemporaryDirectory() as folder:
        tracker = library.OfflineEmissionsTracker(
            country_iso_code="SWE", gpu_ids=[0], output_dir=folder, log_level="error", tracking_mode="machine"
        )
        _begin()
        tracker.start()
        _end()
        tracker.stop()
        found = tracker.final_emissions_data
        if not found.gpu_model:
            raise RuntimeError("it found no GPU")
        return float(found.gpu_energy) * 3.6e6


def _begin() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


def _end() -> None:
    sys.stdin.readline()


if __name__ == "__main__":
    try:
        answer: dict[str, object] = {
            "joules": {"naive": naive, "zeus": zeus, "codecarbon": codecarbon}[sys.argv[1]]()
        }
    except Exception as error:  # noqa: BLE001 -- another tool's failure is its answer
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
