"""What records a cell's power on this machine: the same boards for all cells of a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from configs.meters import Meters
from server.engines.boards import readable
from starwatt_errors import MeterError
from study.measure.meter import Recorded, meter_here
from tests.golden.nvml.world import LOST, GoldenBoards
from tests.server.power.conftest import A, B, nvml, nvml_here, nvml_library  # noqa: F401 -- fixtures
from traces.streams import read_trace


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    readable.cache_clear()
    yield
    readable.cache_clear()


def test_a_board_that_is_lost_between_two_cells_is_missed_and_not_left_out(
    tmp_path: Path,
    nvml_here: GoldenBoards,  # noqa: F811
) -> None:
    open_meter = meter_here(Meters(sources=("nvml",), sample_hz=50), None)
    with open_meter(tmp_path / "b1", Recorded()) as meter:
        meter.check_alive()
    assert {row["device"] for row in read_trace(tmp_path / "b1", "power").to_pylist()} == {A, B}
    nvml_here.strike("handle", LOST, board=0)
    words = f"there is no GPU {A} here; there is {B}; GPU 0 does not answer: GPU is lost"
    with pytest.raises(MeterError, match=words), open_meter(tmp_path / "b2", Recorded()):
        pytest.fail("it recorded one board of two")


def test_boards_that_a_study_names_are_read_alone(
    tmp_path: Path,
    nvml_here: GoldenBoards,  # noqa: F811
) -> None:
    nvml_here.strike("handle", LOST, board=0)
    with meter_here(Meters(sources=("nvml",), gpus=(B,)), None)(tmp_path, Recorded()) as meter:
        meter.check_alive()
    assert {row["device"] for row in read_trace(tmp_path, "power").to_pylist()} == {B}
