"""What the hardware cannot serve is refused before anything starts, with the reason."""

from __future__ import annotations

import pytest

import server.engines.hardware
from configs.loader import load_variant, variant_names
from configs.schema import EngineSettings
from server.engines.hardware import Board, Machine, refuse_what_cannot_be_served, why_not
from starwatt_errors import UsageError

CPU = Machine(())
V100, T4 = Board("V100", (7, 0)), Board("T4", (7, 5))
A100, H100 = Board("A100-SXM4-40GB", (8, 0)), Board("H100", (9, 0))


def refused(machine: Machine, settings: EngineSettings | None = None) -> set[str]:
    """The presets that a machine cannot serve."""
    settings = settings or EngineSettings()
    return {name for name in variant_names() if why_not(load_variant(name), settings, machine)}


@pytest.mark.parametrize(
    ("machine", "names"),
    [
        (CPU, {"int8-w8a16"}),
        (Machine((V100,)), {"bf16", "fp8", "int4-awq", "int4-gptq", "int8-w8a8", "int8-w8a16"}),
        (Machine((T4,)), {"bf16", "fp8"}),
        (Machine((A100,)), {"fp8"}),
        (Machine((H100,)), set()),
        (Machine((Board("?", None),)), set()),
    ],
)
def test_each_machine_refuses_what_it_cannot_serve(machine: Machine, names: set[str]) -> None:
    assert refused(machine) == names


def test_fp8_on_an_a100_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.engines.hardware, "this_machine", lambda: Machine((A100,)))
    with pytest.raises(
        UsageError,
        match=r"fp8: A100-SXM4-40GB has compute capability 8\.0; fp8 takes 8\.9 \(fp8 matrix units",
    ):
        refuse_what_cannot_be_served((load_variant("bf16"), load_variant("fp8")), EngineSettings())


def test_more_gpus_than_there_are_and_bitsandbytes_over_several_are_refused() -> None:
    two = EngineSettings(tensor_parallel=2)
    assert "there are 1 GPUs" in (why_not(load_variant("bf16"), two, Machine((H100,))) or "")
    both = Machine((H100, H100))
    assert why_not(load_variant("bf16"), two, both) is None
    assert "cannot split" in (why_not(load_variant("nf4-bnb"), two, both) or "")
    assert "A100" in (why_not(load_variant("fp8"), two, Machine((H100, A100))) or "")
