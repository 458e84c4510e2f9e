"""Say what meters' own gains leave open: they are in no interval, and cancel in ratios of one board alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from analysis.cells.context import Context
from analysis.keys import MeterKey
from analysis.results.points import Bounds, Results


@dataclass(frozen=True)
class GainsBeside:
    """Two runs' gains, as they stand beside a ratio of joules; relative half-widths, None where nothing is known."""

    boards: tuple[tuple[str, ...], tuple[str, ...]]  # UUIDs, of the reference and of the other
    same_boards: bool | None  # so that their gains cancel; None: not known
    same_kind: bool | None  # whether their boards have one name; None: not known
    half_widths: tuple[float | None, float | None]  # the largest of any cell
    offset_half_w: float | None  # the largest of any cell of both: what does not cancel on one board
    together: float | None  # of a ratio of two boards: independent of each other, so in squares


def half_widths(results: Results, pair: MeterKey) -> Bounds | None:
    """Return the least and the largest of any cell, relative, by what is known of the meter; None where nothing is."""
    rows = [
        row
        for row in results.cell_rows
        if row["metric"] == "energy_gain" and (row["boundary"], row["source"]) == pair
    ]
    known = [row["hi"] - 1 for row in rows if row["hi"] is not None]
    return (min(known), max(known)) if known and len(known) == len(rows) else None


def offset_half_w(results: Results, pair: MeterKey) -> float | None:
    """Return the half-width of what is not known of the meter's offset, in watts, the largest of any cell."""
    rows = [row for row in results.cell_rows if (row["boundary"], row["source"]) == pair]
    ends_w = (row["hi"] for row in rows if row["metric"] == "energy_gain_offset_w")
    return max((end_w for end_w in ends_w if end_w is not None), default=None)


def gains_beside(
    contexts: tuple[Context, Context], results: tuple[Results, Results], pair: MeterKey | None
) -> GainsBeside | None:
    """Compare two runs' gains, joules being compared by ``pair``; None where none are, or none were measured."""
    if pair is None or pair.modelled:
        return None
    first_boards, second_boards = (_boards(context) if pair.source == "nvml" else () for context in contexts)
    boards = first_boards, second_boards
    widths = [half_widths(run_results, pair) for run_results in results]
    first, second = (None if bounds is None else bounds[1] for bounds in widths)
    return GainsBeside(
        boards=boards,
        same_boards=_same(boards, contexts),
        same_kind=_same_kind(boards, contexts),
        half_widths=(first, second),
        offset_half_w=max(
            filter(None, (offset_half_w(run_results, pair) for run_results in results)), default=None
        ),
        together=None if first is None or second is None else math.hypot(first, second),
    )


def _same(boards: tuple[tuple[str, ...], tuple[str, ...]], contexts: tuple[Context, Context]) -> bool | None:
    """Tell whether the boards are the same; None where cells were spread over several: each may have had another."""
    if () in boards:
        return None
    if boards[0] != boards[1]:
        return False
    return True if len(boards[0]) == 1 or not any(map(_spread, contexts)) else None


def _same_kind(
    boards: tuple[tuple[str, ...], tuple[str, ...]], contexts: tuple[Context, Context]
) -> bool | None:
    kinds = []
    for read_here, context in zip(boards, contexts, strict=True):
        kinds.append({gpu.get("name") for gpu in context.gpus if gpu.get("uuid") in read_here})
    return kinds[0] == kinds[1] if kinds[0] and kinds[1] else None


def _spread(context: Context) -> bool:
    study = context.study
    return study is not None and (study.executor != "local" or bool(study.remote))


def _boards(context: Context) -> tuple[str, ...]:
    """Return the GPUs that were read, by the manifest: those that were calibrated, else those that were there."""
    calibration = context.manifest.get("sensor_calibration")
    devices = calibration.get("devices") if isinstance(calibration, dict) else None
    chosen = context.study.meter_settings.gpus if context.study else None
    return tuple(sorted(devices or chosen or [gpu["uuid"] for gpu in context.gpus if gpu.get("uuid")]))
