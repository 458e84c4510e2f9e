"""A load is dithered by whole periods of a sensor that does not see everything, unless the study says otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from configs.loads import Closed, Load, Open, SingleStream
from study.measure.dither import dither_s
from traces.atomic import write_json
from traces.layout import RunDir

A100 = {"power_w": {"update_s": 0.1, "window_s": 0.025}}
UNKNOWN = {"power_avg_w": {"update_s": 0.02, "window_s": None}}
SEES_ALL = {"power_w": {"update_s": 0.1, "window_s": 0.1}}


def constant(qps: float, **more: Any) -> Open:
    return Open(kind="open", qps=qps, arrivals="constant", **more)


@pytest.mark.parametrize(
    ("load", "board", "width_s"),
    [
        (constant(12), A100, 0.1),
        (constant(12), UNKNOWN, 0.1),
        (constant(12), {"power_w": {"update_s": 0.07, "window_s": 0.02}}, 0.14),
        (constant(12), SEES_ALL, 0.0),
        (constant(40), A100, 0.0),  # requests would wait for each other
        (constant(40, dither_ms=50.0), A100, 0.05),
        (constant(12, dither_ms=0.0), A100, 0.0),
        (Open(kind="open", qps=12), A100, 0.0),
        (Closed(kind="closed", concurrency=8), A100, 0.1),
        (SingleStream(kind="single_stream"), SEES_ALL, 0.0),
        (constant(12), None, 0.0),
    ],
)
def test_the_width_of_a_dither(
    tmp_path: Path, load: Load, board: dict[str, Any] | None, width_s: float
) -> None:
    run = RunDir(tmp_path)
    devices = {} if board is None else {"GPU-a": board}
    write_json(run.manifest, {"sensor_calibration": {"devices": devices}})
    assert dither_s(run, load) == pytest.approx(width_s)


def test_a_run_that_says_nothing_of_its_sensors_has_none(tmp_path: Path) -> None:
    assert dither_s(RunDir(tmp_path), constant(12)) == 0.0
