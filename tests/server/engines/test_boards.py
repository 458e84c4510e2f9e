"""An engine gets as many boards as it asks for; the others are neither its nor in its joules."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from configs.meters import Meters
from configs.schema import EngineSettings
from server.engines import boards
from server.engines.boards import Allotment, allot, environment_of, readable
from tests.golden.nvml.world import GoldenBoards
from tests.server.power.conftest import A, B, nvml, nvml_here, nvml_library  # noqa: F401 -- fixtures

ONE, TWO = EngineSettings(), EngineSettings(tensor_parallel=2)


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    readable.cache_clear()
    yield
    readable.cache_clear()


@pytest.mark.usefixtures("nvml_here")
@pytest.mark.parametrize(
    ("meters", "engine", "metered", "numbers"),
    [
        (Meters(), ONE, (A,), (0,)),
        (Meters(gpus=(B, A)), ONE, (B,), (1,)),
        (Meters(), TWO, (A, B), None),
        (
            Meters(gpus=(B,)),
            TWO,
            (B,),
            None,
        ),  # what is refused before; were it not, the engine would be found on A
        (Meters(sources=("modelled",)), ONE, None, None),
        (Meters(gpus=()), ONE, (), None),
    ],
)
def test_the_first_boards_are_the_engines_and_are_metered(
    meters: Meters, engine: EngineSettings, metered: tuple[str, ...] | None, numbers: tuple[int, ...] | None
) -> None:
    allotted = allot(meters, engine)
    assert (allotted.meters.gpus, allotted.numbers, allotted.reasons) == (metered, numbers, ())


@pytest.mark.usefixtures("nvml_here")
def test_an_environment_that_shows_the_engines_boards_alone_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", B)
    assert allot(Meters(), ONE) == Allotment(Meters(gpus=(B,)))
    assert environment_of(None) == {}
    assert environment_of((3, 5)) == {"CUDA_VISIBLE_DEVICES": "3,5"}


@pytest.mark.parametrize(
    ("sources", "gpus", "reasons"),
    [("auto", (), ()), (("nvml",), (A,), ("engine_not_metered",))],
)
def test_an_engine_that_computes_on_the_cpu_beside_boards_does_not_have_their_joules(
    nvml_here: GoldenBoards,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    sources: tuple[str, ...] | str,
    gpus: tuple[str, ...],
    reasons: tuple[str, ...],
) -> None:
    monkeypatch.setattr(boards, "computes_on_the_cpu", lambda: True)
    allotted = allot(Meters.model_validate({"sources": sources}), ONE).as_seen(os.getpid())
    assert (allotted.meters.gpus, allotted.reasons) == (gpus, reasons)
    nvml_here.run_on(os.getpid())
    seen = allot(Meters(), ONE).as_seen(os.getpid())
    assert (seen.meters.gpus, seen.reasons) == ((A,), ()), "a board lists it"
