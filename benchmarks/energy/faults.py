"""Faults of meters, each put into a record whose truth is known, and what is said of it: docs/measurements/faults.md.

``python -m benchmarks.energy.faults > docs/measurements/faults.md``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from analysis.contrasts.gain import gain_of_ratio
from analysis.contrasts.paired_blocks import CellFigures
from analysis.energy.boundary import boundary_energies
from analysis.energy.device import device_energy
from analysis.energy.integral import PowerSeries
from analysis.energy.log_clock import clock_step_s
from analysis.energy.mirrors import without_mirrors
from analysis.energy.moments import At
from analysis.energy.sensor import Sensors
from analysis.keys import Condition, MeterKey
from analysis.requests.window import Window
from analysis.validity.whose_boards import Boards, Look, idle_boards_w, metered_check, of_the_engine
from configs.meters import ExternalLog, Meters
from server.power.logs.formats import format_of
from starwatt_errors import MeterError
from tests.golden.power_trials import Trial, attempt
from tests.golden.power_worlds import BURST_W, DECODE_W, PowerWorld, repeated
from tests.golden.sensors import A100

_SECONDS, _IDLE_W, _LOAD_W = 60.0, 70.0, 400.0
_START_NS = 100_000_000_000
_WINDOW = Window(_START_NS, _START_NS + round(_SECONDS * 1e9))
_TRIALS = 100
_LOGS = (
    ("a log in kilowatts", "a header with [kW], 1.25", ("time,power [kW]", "1795000000,1.25")),
    ("a log in microwatts", "power_uw, 1250000000", ("time,power_uw", "1795000000,1250000000")),
    ("a column of units", "1.25 and kW", ("entity_id,state,last_changed,unit", "sensor.p,1.25,1795000000,kW")),
    ("a log that is not of power", "power_kWh", ("time,power_kWh", "1795000000,1.25")),
    ("a log that is not of power", "Power (kVA)", ("time,Power (kVA)", "1795000000,1.25")),
    ("a number that can be read in two ways", '"1,250" between commas', ("time,power", '1795000000,"1,250"')),
    ("groups of digits and a decimal comma", "1 250,0 between semicolons", ("time;power", "1795000000;1 250,0")),
    ("a value that is missing", "-2.0 of PTDaemon", ("Time,07-02-2021 17:39:14.000,Watts,-2.0,Volts,230",)),
    ("a value that is missing", "[Unknown Error] of nvidia-smi",
     ("timestamp, power.draw [W]", "2026/11/26 08:00:00.000, [Unknown Error]")),
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One fault."""

    fault: str
    injected: str
    said: str


def rows() -> list[Row]:
    """Every fault, in the order of the page."""
    return [row for find in (_rhythms, _edges, _readings, _rapl, _boards, _gain, _logs) for row in find()]


def _rhythms() -> Iterator[Row]:
    rng = np.random.default_rng(61)
    for rate_hz in (7.5, 10.0, 10.06, 18.0):
        trials = []
        for _ in range(_TRIALS):
            wave = (
                np.array([0.0, min(rng.uniform(0.010, 0.060), 0.9 / rate_hz)]),
                np.array([BURST_W, DECODE_W]),
            )
            world = repeated(rng, _SECONDS, rate_hz, *wave)
            trials.append(attempt(world, replace(A100, counter=None), rng, _SECONDS))
        yield Row(
            "a rhythm of the load",
            f"bursts at {rate_hz:g}/s on an A100 without a counter, 60 s",
            _told(trials),
        )


def _edges() -> Iterator[Row]:
    rng = np.random.default_rng(62)
    for seconds in (5.0, 30.0):
        edges = np.array([-10.0, 0.0, seconds, seconds + 10.0])
        world = PowerWorld(edges, np.array([_IDLE_W, _LOAD_W, _IDLE_W]))
        trials = [attempt(world, replace(A100, counter=None), rng, seconds) for _ in range(_TRIALS)]
        yield Row(
            "steps at the window's edges",
            f"{_IDLE_W:.0f} to {_LOAD_W:.0f} W and back, {seconds:.0f} s",
            _told(trials),
        )


def _told(trials: list[Trial]) -> str:
    kept = [trial for trial in trials if "aliased" not in trial.found.reasons]
    aliased = f"{100 * (1 - len(kept) / len(trials)):.0f} % `aliased`"
    if not kept:
        return aliased
    off = 100 * float(np.percentile([abs(trial.off) for trial in kept], 95))
    held = 100 * float(np.mean([trial.covered for trial in kept]))
    return f"{aliased}; of the others {held:.0f} % of intervals hold the truth (off by {off:.2f} % p95)"


def _board(name: str = "GPU-a", load_w: float = _LOAD_W, idle_w: float = _IDLE_W) -> PowerSeries:
    t_s = np.arange(-10.0, _SECONDS + 10.0, 0.05)
    power_w = np.where((t_s >= 0) & (t_s < _SECONDS), load_w, idle_w)
    t_ns = _START_NS + np.rint(t_s * 1e9).astype(np.int64)
    return PowerSeries(name, "gpu", "nvml", t_ns, t_ns, power_w, t_ns[:0], power_w[:0])


def _reasons(series: PowerSeries) -> str:
    events = (At(np.arange(_WINDOW.start_ns, _WINDOW.end_ns, 91_000_000, dtype=np.int64)),)
    found = device_energy(series, _WINDOW, Sensors({}, Meters(), {series.device: 700.0}), events)
    return ", ".join(f"`{code}`" for code in found.reasons if code != "aliased") or "valid"


def _readings() -> Iterator[Row]:
    for at_s, where in ((30.0, "on a board of 700 W"), (-0.05, "on the last poll before the window")):
        yield Row("an impossible reading", f"3.7 MW {where}", _reasons(_with(_board(), at_s, at_s, 3.7e6)))
    yield Row(
        "an impossible reading in idle time",
        "3.7 MW before the load",
        _idle(_with(_board(), -5.0, -5.0, 3.7e6)),
    )
    yield Row("power that is always zero", "0 W throughout", _reasons(_board(load_w=0.0, idle_w=0.0)))
    yield Row(
        "power that is zero for a while", "0 W for 3 s under load", _reasons(_with(_board(), 20, 23, 0.0))
    )
    yield Row(
        "power that never moves",
        f"{_IDLE_W:.0f} W throughout, under load too",
        _reasons(_board(load_w=_IDLE_W)),
    )
    for from_s, to_s, when in (
        (30.0, _SECONDS + 10, "from the middle of the load on"),
        (0.0, _SECONDS, "under load"),
    ):
        still = _with(_noisy(), from_s, to_s, _LOAD_W)
        yield Row("power that never moves", f"at one value {when}, noise elsewhere", _reasons(still))
    limited = replace(_board(), limits_w=(400.0, 700.0))
    yield Row("a power limit that changes", "700 W, later 400 W", _reasons(limited))
    yield Row("nothing", "idle, load, idle", _reasons(_board()))


def _noisy() -> PowerSeries:
    board, rng = _board(), np.random.default_rng(64)
    return replace(board, power_w=np.round(board.power_w + rng.normal(0.0, 2.0, board.power_w.size), 3))


def _with(series: PowerSeries, from_s: float, to_s: float, watts: float) -> PowerSeries:
    """The same board, which shows these watts from one poll to another."""
    t_s = (series.power_t_ns - _START_NS) * 1e-9
    return replace(
        series, power_w=np.where((t_s > from_s - 0.01) & (t_s < to_s + 0.01), watts, series.power_w)
    )


def _idle(series: PowerSeries) -> str:
    """What is said of a record whose window is sound."""
    before = Window(_START_NS - 9_000_000_000, _START_NS - 1_000_000_000)
    sensors = Sensors({}, Meters(), {series.device: 700.0})
    [found] = boundary_energies([series], _WINDOW, before, None, sensors)
    return (
        "idle power is missing (`no_idle`)"
        if found.idle_before_w is None
        else f"idle: {found.idle_before_w:.0f} W"
    )


def _package(name: str, *, anew_s: float | None = None) -> PowerSeries:
    t_s = np.arange(-10.0, _SECONDS + 10.0, 0.5)
    energy_j = 100.0 * (t_s - t_s[0])
    if anew_s is not None:
        energy_j = np.where(t_s < anew_s, energy_j, energy_j - energy_j[t_s < anew_s][-1])
    t_ns = _START_NS + np.rint(t_s * 1e9).astype(np.int64)
    return PowerSeries(name, "cpu", "rapl", t_ns, t_ns, np.full(t_s.size, 100.0), t_ns, energy_j)


def _rapl() -> Iterator[Row]:
    yield Row(
        "a RAPL counter that begins anew", "0 J in the middle", _reasons(_package("package-0", anew_s=30.0))
    )
    dies = [_package(f"package-0-die-{die}") for die in range(4)]
    kept = ", ".join(one.device for one in without_mirrors(dies))
    yield Row(
        "one counter behind several zones",
        "four dies that show their package's counter",
        f"counted once: {kept}",
    )


def _boards() -> Iterator[Row]:
    node = [_board(f"GPU-{number}", load_w=_LOAD_W if number == 0 else _IDLE_W) for number in range(8)]
    seen = Boards(tuple(Look(one.device, number == 0, False, None) for number, one in enumerate(node)))
    own = [one.device for one in of_the_engine(node, seen)]
    idle_w, _ = idle_boards_w(node, seen, _WINDOW)
    yield Row("idle boards beside the engine's", "eight are read, and the engine is on one",
              f"joules of {', '.join(own)} alone; `node_idle_boards_w` {idle_w:.0f} W")  # fmt: skip
    for injected, engine in (("it is on another one", True), ("it computes on the CPU", None)):
        looks = (Look("GPU-a", False, False, None), *([Look("GPU-b", True, False, None)] if engine else []))
        check = metered_check([_board()], Boards(looks))
        said = f"`{check.code}`" if check is not None and check.failed else "valid"
        yield Row("an engine on no metered board", injected, said)
    found = Boards((Look("GPU-a", False, False, None), Look("GPU-a", True, False, None)))
    check = metered_check([_board()], found)
    yield Row(
        "an engine behind nginx or docker-proxy",
        "the process of the address has no board open; by its connections the engine is found",
        f"`{check.code}`" if check is not None and check.failed else "valid",
    )


def _gain() -> Iterator[Row]:
    factor, offset_w = (
        1.0476,
        -21.9,
    )  # an RTX 4090's shown watts from true ones (docs/measurements/real-boards.md)
    shown_w = {load: factor * true_w + offset_w for load, true_w in (("low", 100.0), ("high", 400.0))}
    found = []
    for load, watts in shown_w.items():
        values = {
            "j_per_request": (watts, None),
            "power_mean_w": (watts, None),
            "energy_gain_offset_w": (0.0, 23.0),
        }
        key = {"model": "m", "variant": "v", "load": load, "block": 1, "boundary": "gpu", "source": "nvml"}
        found += [{**key, "metric": metric, "value": value, "hi": hi, "valid": True, "reasons": []}
                  for metric, (value, hi) in values.items()]  # fmt: skip
    ratio = shown_w["low"] / shown_w["high"]
    factors = gain_of_ratio(
        CellFigures(found), Condition("m", "v", "low"), Condition("m", "v", "high"), MeterKey("gpu", "nvml")
    )
    ends = "–" if factors is None else f"{ratio * factors[0]:.3f} to {ratio * factors[1]:.3f}"
    yield Row(
        "an offset in a ratio",
        "100 W over 400 W (0.25) on an RTX 4090",
        f"{ratio:.3f}, of which the gain's row leaves {ends}",
    )


def _logs() -> Iterator[Row]:
    for fault, injected, lines in _LOGS:
        yield Row(fault, injected, _logged(*lines))
    t_s = np.arange(120.0)
    shown_s = t_s + np.where(t_s > 60, 5.0, 0.0)
    late_s = np.asarray(t_s - shown_s + 0.05, dtype=np.float64)
    seen_s = clock_step_s(np.rint(shown_s * 1e9).astype(np.int64), late_s)
    log = replace(_board("wall"), source="external", boundary="host", clock_step_s=seen_s)
    said = f"seen: {seen_s:.1f} s or more; {_reasons(log)}"
    yield Row("a log's clock that is set meanwhile", "5 s ahead from the middle on", said)


def _logged(*lines: str) -> str:
    """What the last of a log's lines is read as."""
    try:
        form = format_of(ExternalLog(file=Path("log")), lines)
        found = [form.line(line, number) for number, line in enumerate(lines, 1)][-1]
    except MeterError as error:
        return f"refused: {str(error).partition(': ')[2]}"
    return "a gap" if found is None or found.power_w is None else f"{found.power_w:.0f} W"


PAGE = """# Faults of meters, and what is said of them

Made by `python -m benchmarks.energy.faults`: each fault is put into a record whose truth is known, and
analysed as any run is.

| fault | injected | what is said |
| --- | --- | --- |
{rows}

Reason codes: [reasons](../reference/reasons.md). Of the rhythms, the full counts are in [energy.md](energy.md).
"""


def page() -> str:
    """The whole of docs/measurements/faults.md."""
    return PAGE.format(rows="\n".join(f"| {row.fault} | {row.injected} | {row.said} |" for row in rows()))


if __name__ == "__main__":
    print(page(), end="")
