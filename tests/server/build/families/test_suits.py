"""What cannot be made of a model of an untried family is said before anything is fetched or built."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import HfApi, ModelInfo

from configs.loader import load_variant
from server.build import foresight
from server.build.families import suits
from server.build.families.suits import against, check_suits, find_against, needs_of
from server.build.foresight import Known, check_variant
from starwatt_errors import UsageError
from tests.server.build.families.conftest import tiny

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of GPTBigCode's own module


@pytest.mark.parametrize(
    ("family", "needs"),
    [
        ("gpt_neox", set()),
        ("gemma", {"awq", "smoothquant"}),
        ("gpt2", {"compressed", "awq", "smoothquant"}),
        ("mixtral", {"bitsandbytes", "awq"}),
    ],
)
def test_what_stands_against_each_way_of_building(family: str, needs: set[str], tmp_path: Path) -> None:
    tiny(family).config.save_pretrained(tmp_path)
    assert set(find_against(tmp_path)) == needs


def test_a_variant_is_refused_by_its_configuration_alone_and_others_are_not(tmp_path: Path) -> None:
    config = tiny("gpt2").config
    config.architectures = ["GPT2LMHeadModel"]
    config.save_pretrained(tmp_path)
    known = Known("./gpt2", None, family="gpt2", config=tmp_path)
    for name in ("bf16", "nf4-bnb", "pruned-last-1"):
        check_variant(known, load_variant(name))
    with pytest.raises(
        UsageError, match=r"fp8 of \./gpt2: GPT2LMHeadModel: llm-compressor reaches no matrix of its layers"
    ):
        check_variant(known, load_variant("fp8"))
    assert set(against(tmp_path)) == {"compressed", "awq", "smoothquant"}


def test_a_model_on_the_hub_is_judged_by_its_configuration_before_its_weights_are_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny("gemma").config
    config.architectures = ["GemmaForCausalLM"]
    config.save_pretrained(tmp_path)
    told = ModelInfo(  # type: ignore[no-untyped-call]
        id="owner/gemma",
        config={"model_type": "gemma", "architectures": ["GemmaForCausalLM"]},
        siblings=[{"rfilename": "model.safetensors", "size": 9}],
    )
    monkeypatch.setattr(foresight, "_cached", lambda _: None)
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: told)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_: str(tmp_path / "config.json"))
    known = foresight.known_model("owner/gemma")
    assert (known.family, known.fetch_bytes) == ("gemma", 9)
    assert known.shape is not None
    assert known.shape.layers == 4
    monkeypatch.setattr(
        suits, "against", find_against
    )  # in this process: the other test has seen one of its own
    check_variant(known, load_variant("int4-gptq"))
    with pytest.raises(UsageError, match=r"int4-awq of owner/gemma: GemmaForCausalLM cannot be smoothed"):
        check_variant(known, load_variant("int4-awq"))


def test_a_family_that_transformers_does_not_know_has_no_built_variants(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        '{"model_type": "of_next_year", "architectures": ["NextForCausalLM"]}'
    )
    problems = find_against(tmp_path)
    assert set(problems) == {"layers", "bitsandbytes", "compressed"}
    assert "is of no kind that transformers has" in problems["layers"]


def test_what_is_served_as_it_is_needs_nothing(tmp_path: Path) -> None:
    assert needs_of(load_variant("bf16")) == needs_of(load_variant("ready-made")) == []
    check_suits("./m", tmp_path / "nothing here", load_variant("bf16"))
    assert needs_of(load_variant("int8-w8a8-pruned-last-1")) == ["layers", "compressed", "smoothquant"]
