"""A run whose report is looked at from all sides."""

from __future__ import annotations

import pytest

from analysis.report import write_report
from tests.golden.world import Sensor, World


@pytest.fixture(scope="module")
def estimated(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The demo's shape: two blocks, one engine start, modelled power, a model that memorised."""
    sensor = Sensor(source="modelled", boundary="cpu", device="engine")
    return World(
        tmp_path_factory.mktemp("report") / "<demo> & co", blocks=2, engine_restarts="once", sensor=sensor
    ).build()


@pytest.fixture(scope="module")
def html(estimated: World) -> str:
    """Its report; writing it analyses the run first."""
    assert not estimated.run.table("cells").exists()
    return write_report(estimated.run).read_text(encoding="utf-8")
