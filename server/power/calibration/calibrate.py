"""Calibrates the sensors of this machine: what their readings' rhythm, window, lag and cost are found to be here.

The board's gain cannot be found from within: that takes a meter outside (``meters.gain`` in the study's file).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from server.power.calibration.response import Floats, Found, response, update_period
from server.power.nvidia.binding import pynvml
from server.power.nvidia.board import NoPowerReadingError, offers
from server.power.nvidia.choice import choose
from server.power.nvidia.library import (
    POWER_AVERAGE,
    POWER_INSTANT,
    NoDriverError,
    NvmlError,
    PassingError,
    Place,
    milli,
    opened,
)
from starwatt_errors import MeterError
from traces.clock import now_ns

WATCH_S = 3.0
WATCH_STEPS_S = 25.0  # about eighteen steps of a load
_POLL_S = 0.002
_COUNTER_POLL_S = 0.010  # read too often a counter goes stale
_LIMIT_FACTOR = 3.0  # over a board's power limit: real peaks reach half of that
NO_LOAD = "no load was applied: the step of one would show it"


class LoadSwitch(Protocol):
    """A load that can be switched on and off."""

    def switch(self, on: bool) -> int:
        """Do it; returns when it took effect, on the run's clock.

        Raises:
            MeterError: it can't be done.
        """


Load = Callable[[str], AbstractContextManager[LoadSwitch]]
"""Opens the switch of a board, by its UUID; raises MeterError, with the reason, where there can be none."""


@dataclass
class _Channel:
    """One figure of a board, polled."""

    read: Callable[[], float | None]
    poll_s: float
    t_s: list[float] = field(default_factory=list)
    shown: list[float] = field(default_factory=list)
    cost_s: list[float] = field(default_factory=list)
    due_s: float = 0.0

    def poll(self) -> None:
        begun_s = now_ns() * 1e-9
        if begun_s < self.due_s:
            return
        value = self.read()
        ended_s = now_ns() * 1e-9
        self.due_s = ended_s + self.poll_s
        self.cost_s.append(ended_s - begun_s)
        if value is not None:
            self.t_s.append((begun_s + ended_s) / 2)
            self.shown.append(value)

    @property
    def arrays(self) -> tuple[Floats, Floats]:
        return np.array(self.t_s), np.array(self.shown)


def calibrate(
    gpus: Sequence[str] | None = None, load: Load | None = None, watch_s: float | None = None
) -> dict[str, Any]:
    """Watch every GPU, through switches of ``load`` where it can be had; for manifest.json's ``sensor_calibration``.

    ``load`` is for boards that serve nothing yet: each is driven for ``WATCH_STEPS_S``, on and off.

    Raises:
        MeterError: NVML fails on the way.
    """
    try:
        with opened():
            boards = {place.uuid: _calibrate_board(place, load, watch_s) for place in choose(gpus).boards}
            devices = {uuid: board for uuid, board in boards.items() if board is not None}
    except NoDriverError:
        devices = {}
    if not devices:
        return {"devices": {}, "reason": "no NVIDIA driver answers here; RAPL and modelled power are means since the "
                "last reading, and need no calibration"}  # fmt: skip
    return {"devices": devices, "load_applied": any(board["load_applied"] for board in devices.values())}


def _calibrate_board(place: Place, load: Load | None, watch_s: float | None) -> dict[str, Any] | None:
    """Return what was found; None of a board that tells no power.

    One that fails on the way is not calibrated, with the reason, and the others are.
    """
    try:
        offers(place)
        return _watch_board(place, load, watch_s)
    except NoPowerReadingError:
        return None
    except NvmlError as error:
        return {"load_applied": False, "reasons": {"board": str(error)}, "idle_w": None, "read_ms": None}


def _watch_board(place: Place, load: Load | None, watch_s: float | None) -> dict[str, Any]:
    channels = _channels(place)
    _watch(channels, min(watch_s or WATCH_S, 1.0))
    idle_w = {name: float(np.mean(channel.shown)) for name, channel in channels.items() if channel.shown}
    steps_s: list[float] = []
    without = NO_LOAD
    if load is not None:
        try:
            with load(place.uuid) as switch:
                steps_s = _watch_steps(channels, switch, watch_s or WATCH_STEPS_S)
        except MeterError as error:
            without = f"no load could be applied ({error}): the step of one would show it"
    if not steps_s:
        _watch(channels, watch_s or WATCH_S)
    result: dict[str, Any] = {"load_applied": bool(steps_s), "reasons": {}}
    for name, channel in channels.items():
        figures = _figures(name, channel, steps_s, without)
        result[name] = {key: figure.value for key, figure in figures.items()}
        for key, figure in figures.items():
            if figure.reason is not None:
                result["reasons"][f"{name}.{key}"] = figure.reason
    result["idle_w"] = idle_w.get("power_w") or idle_w.get("power_avg_w")
    result["reasons"] |= _doubts(channels, place, stepped=bool(steps_s))
    costs = np.concatenate([channel.cost_s for channel in channels.values()])
    result["read_ms"] = float(np.median(costs)) * 1e3
    return result


def _doubts(channels: dict[str, _Channel], place: Place, *, stepped: bool) -> dict[str, str]:
    """Say of each channel what its readings are that no board's can be."""
    limit_mw = place.ask(pynvml.nvmlDeviceGetEnforcedPowerLimit)
    doubts: dict[str, str] = {}
    for name in ("power_w", "power_avg_w"):
        shown = channels[name].shown if name in channels else []
        if not shown:
            continue
        if not any(shown):
            doubts[name] = "every reading was 0 W: it does not measure"
        elif limit_mw and max(shown) > _LIMIT_FACTOR * limit_mw * 1e-3:
            doubts[name] = (
                f"a reading was {max(shown):.4g} W, and the board's limit is {limit_mw * 1e-3:.4g} W"
            )
        elif stepped and min(shown) == max(shown):
            doubts[name] = f"its readings stood at {shown[0]:.4g} W, though a load was switched on and off"
    return doubts


def _channels(place: Place) -> dict[str, _Channel]:
    def field_value(number: int) -> Callable[[], float | None]:
        def read() -> float | None:
            try:
                return place.watts([number])[0]
            except PassingError:
                return None

        return read

    def asked(call: Callable[..., Any]) -> Callable[[], float | None]:
        return lambda: milli(place.ask(call))

    usage = asked(pynvml.nvmlDeviceGetPowerUsage)
    counter = asked(pynvml.nvmlDeviceGetTotalEnergyConsumption)
    instant, average = field_value(POWER_INSTANT), field_value(POWER_AVERAGE)
    channels = {"energy_j": _Channel(counter, _COUNTER_POLL_S)}
    if instant() is not None:
        channels["power_w"] = _Channel(instant, _POLL_S)
    slow = average if average() is not None else usage
    channels["power_avg_w"] = _Channel(slow, _POLL_S)
    return channels


def _watch(channels: dict[str, _Channel], seconds: float) -> None:
    end_ns = now_ns() + round(seconds * 1e9)
    while now_ns() < end_ns:
        for channel in channels.values():
            channel.poll()
        time.sleep(_POLL_S / 2)


def _watch_steps(channels: dict[str, _Channel], load: LoadSwitch, watch_s: float) -> list[float]:
    """Switch the load on and off at uneven moments, so that updates come at all phases; returns when."""
    steps_s, on = [], True
    rng = np.random.default_rng(1)
    end_ns = now_ns() + round(watch_s * 1e9)
    while now_ns() < end_ns:
        steps_s.append(load.switch(on) * 1e-9)
        on = not on
        _watch(channels, float(rng.uniform(1.25, 1.55)))  # longer than the slowest average that is known
    steps_s.append(load.switch(False) * 1e-9)
    _watch(channels, 1.3)
    return steps_s


def _figures(name: str, channel: _Channel, steps_s: Sequence[float], without: str) -> dict[str, Found]:
    t_s, shown = channel.arrays
    if name == "energy_j":
        if not shown.size:
            return {"step_s": Found(None, "the board has no energy counter")}
        return {"step_s": update_period(t_s, shown)}
    if not shown.size:
        nothing = Found(None, "the board does not offer it")
        return {"update_s": nothing, "window_s": nothing, "lag_s": nothing}
    period = update_period(t_s, shown)
    if not steps_s or period.value is None:
        why = Found(None, without if not steps_s else period.reason)
        return {"update_s": period, "window_s": why, "lag_s": why}
    fitted = response(t_s, shown, steps_s, period.value)
    return {"update_s": period, "window_s": fitted.window_s, "lag_s": fitted.lag_s}


def words(calibration: dict[str, Any]) -> list[str]:
    """Return a calibration for people, a line a figure."""
    lines = [] if calibration["devices"] else [calibration["reason"]]
    for device, board in calibration["devices"].items():
        lines.append(
            f"{device}: idle {_shown(board['idle_w'], 'W')}, a reading takes {_shown(board['read_ms'], 'ms')}"
        )
        if "board" in board["reasons"]:
            lines.append(f"  {board['reasons']['board']}")
        for channel in ("power_w", "power_avg_w", "energy_j"):
            if channel in board["reasons"]:
                lines.append(f"  {channel} is in doubt: {board['reasons'][channel]}")
            for key, value in board.get(channel, {}).items():
                reason = board["reasons"].get(f"{channel}.{key}")
                unit = None if value is None else value * 1e3
                lines.append(
                    f"  {channel} {key.removesuffix('_s')}: {_shown(unit, 'ms')}{f' ({reason})' if reason else ''}"
                )
    return lines


def _shown(value: float | None, unit: str) -> str:
    return "not known" if value is None else f"{value:.3g} {unit}"
