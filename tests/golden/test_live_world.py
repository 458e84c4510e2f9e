"""The golden world in real time: the real load generator, a simulated engine, and its board under the real sidecar."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from analysis.cells.cell import analyse_cell
from analysis.cells.context import read_context
from tests.golden.endpoint import GoldenEndpoint
from tests.golden.nvml.world import COUNTER, INSTANT, TEMPERATURE, BoardModel
from tests.server.power.conftest import A, golden_boards, nvml_library  # noqa: F401 -- a fixture
from tests.support.command import starwatt
from traces.layout import RunDir


@dataclass(frozen=True)
class Joules:
    """Of one load's window, as it was found and as it was."""

    found_j: float
    true_j: float
    found_tokens: float
    true_tokens: int

    @property
    def found(self) -> float:
        """Joules a token."""
        return self.found_j / self.found_tokens

    @property
    def true(self) -> float:
        """The same, of the world."""
        return self.true_j / self.true_tokens


def measured(endpoint: GoldenEndpoint, out: Path, *load: object) -> Joules:
    """Drive one load with power beside it, and set what analysis finds beside what was."""
    done = starwatt(
        "load", "--url", endpoint.url, "--model", "golden", *load, "--duration", 7, "--max-tokens", 12,
        "--meter", "local", "--out", out, "--json",
    )  # fmt: skip
    assert done.returncode in (0, 3), done.stderr  # 3: a busy machine may have delayed generator or sidecar
    run = RunDir(out)
    [key] = run.finished_cells()
    result = analyse_cell(run, key, read_context(run)[0])
    energy, own = result.primary, result.measured
    assert energy is not None
    assert own is not None
    assert (energy.boundary, energy.source) == ("gpu", "nvml")
    assert energy.energy_j is not None
    assert own.share.output_tokens is not None
    window = own.window
    assert window.seconds > 4
    true_j = endpoint.boards.true_j(window.start_ns, window.end_ns)
    tokens = endpoint.tokens_between(window.start_ns, window.end_ns)
    return Joules(energy.energy_j, true_j, float(own.share.output_tokens), tokens)


@pytest.mark.parametrize(
    "offers",
    [
        pytest.param(INSTANT | TEMPERATURE, marks=pytest.mark.long, id="integral"),
        pytest.param(INSTANT | COUNTER, id="counter"),
    ],
)
def test_what_batching_saves_is_what_the_world_used(
    tmp_path: Path,
    nvml_library: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    offers: int,
) -> None:
    board = BoardModel(A, offers=offers, update_s=0.05, window_s=0.05)
    boards = golden_boards(nvml_library, tmp_path, monkeypatch, [board])
    with GoldenEndpoint(boards) as endpoint:
        alone = measured(endpoint, tmp_path / "alone", "--single-stream")
        batched = measured(endpoint, tmp_path / "batched", "--concurrency", 8)
    for one in (alone, batched):
        assert one.found_j == pytest.approx(one.true_j, rel=0.03)
        assert one.found_tokens == pytest.approx(one.true_tokens, rel=0.04)
    assert alone.true / batched.true > 3
    assert alone.found / batched.found == pytest.approx(alone.true / batched.true, rel=0.06)
