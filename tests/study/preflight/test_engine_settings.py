"""Settings of the engine before a study starts: what is asked of its parser, refused, and told by ``--dry-run``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from configs import loader
from configs.loader import load_study
from server.engines import arguments
from server.engines.arguments import Asked
from server.engines.hardware import Board, Machine
from starwatt_errors import StarwattError, UsageError
from study.cli.init import Wanted, study_text
from study.plan.engines import largest_engine, settings_of
from study.preflight import checks
from study.records.repeat import WantedStudy
from study.run import forecast_study
from tests.study.preflight.test_checks import BASE

SETTINGS = {
    "chatty": {"chat_template": "{{ messages }}"},
    "wide": {"tensor_parallel_size": 3},
    "deep": {"pipeline_parallel_size": 8},
}


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[Asked]]:
    """A folder of settings, and a parser that takes everything; returns what it was asked, each time."""
    folder, calls = tmp_path / "settings", list[list[Asked]]()
    folder.mkdir()
    for name in loader.setting_names():
        (folder / f"{name}.yaml").write_bytes((loader.SETTINGS / f"{name}.yaml").read_bytes())
    for name, args in SETTINGS.items():
        (folder / f"{name}.yaml").write_text(
            yaml.safe_dump({"name": name, "description": name, "engine_args": args})
        )

    def answers(every: list[Asked]) -> list[str | None]:
        calls.append(every)
        return [None for _ in every]

    monkeypatch.setattr(loader, "SETTINGS", folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("STARWATT_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(arguments, "_known", {})
    monkeypatch.setattr(arguments, "_answers", answers)
    return calls


def write(folder: Path, variants: list[str], **changes: Any) -> Path:
    """A study of these variants."""
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump({**BASE, "variants": variants, **changes}))
    return file


def told(folder: Path, variants: list[str], **changes: Any) -> str:
    """What ``--dry-run`` says."""
    return "\n".join(forecast_study(WantedStudy(write(folder, variants, **changes), folder / "out")).lines())


def test_a_dry_run_asks_the_parser_once_and_builds_one_checkpoint_for_all_settings(
    tmp_path: Path, asked: list[list[Asked]]
) -> None:
    alone = told(tmp_path, ["bf16", "int4-awq"])
    assert asked == []
    words = told(tmp_path, ["bf16", "bf16+ngram", "int4-awq+kv-fp8+ngram"])
    assert "bf16+ngram (vLLM, eager), int4-awq+kv-fp8+ngram (vLLM, eager), int4-awq (vLLM, eager)" in words
    assert "controls: int4-awq+kv-fp8+ngram is also compared with int4-awq" in words
    assert [len(every) for every in asked] == [2]
    [built] = [line for line in words.splitlines() if line.startswith("to build")]
    assert built in alone, "the control's checkpoint is the setting's"


@pytest.mark.parametrize(
    ("variants", "refused"),
    [(["bf16"], True), (["bf16", "bf16+chatty"], True), (["bf16+chatty", "bf16+chatty+ngram"], False)],
)
@pytest.mark.usefixtures("asked")
def test_a_chat_takes_a_template_of_the_model_or_one_of_every_variant(
    tmp_path: Path, variants: list[str], refused: bool
) -> None:
    chat = {"baseline": variants[0], "endpoint": "chat"}
    if refused:
        with pytest.raises(
            UsageError, match=r"models.0: .* has no chat template.*engine_args: \{chat_template: FILE\}"
        ):
            told(tmp_path, variants, **chat)
    else:
        assert "cells to measure" in told(tmp_path, variants, **chat)


@pytest.mark.parametrize(
    ("setting", "boards", "words"),
    [
        ("data-2", 1, "data_parallel is 2, and there are 1 GPUs"), ("data-2", 2, None),
        ("wide", 3, "4 attention heads cannot be shared by 3 boards"),
        ("deep", 8, "its 4 layers cannot be shared by 8 boards one after another"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("asked")
def test_more_boards_than_there_are_or_than_can_share_a_model_are_refused_with_the_variant_s_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, boards: int, words: str | None
) -> None:
    monkeypatch.setattr(checks, "this_machine", lambda: Machine((Board("H100", (9, 0)),) * boards))
    try:
        said = told(tmp_path, ["bf16", f"bf16+{setting}"])
    except StarwattError as error:
        said = str(error)
    assert (words is None) == ("study.yaml:" not in said), said
    if words is not None:
        assert "variants.1: " in said
        assert words in said


@pytest.mark.usefixtures("asked")
def test_the_settings_of_each_variant_are_known_to_plan_and_boards(tmp_path: Path) -> None:
    study = load_study(write(tmp_path, ["bf16", "bf16+data-2", "bf16+seqs-32"]))
    assert [settings_of(study, name).boards for name in study.variants] == [1, 2, 1]
    assert settings_of(study, "bf16+seqs-32").max_num_seqs == 32
    assert largest_engine(study) == settings_of(study, "bf16+data-2")


def test_init_writes_a_study_of_combined_names(tmp_path: Path) -> None:
    text = study_text(tmp_path / "s.yaml", Wanted(model="starcoder2-memorised", variants="bf16,bf16+ngram"))
    (tmp_path / "s.yaml").write_text(text)
    assert load_study(tmp_path / "s.yaml").variants == ("bf16", "bf16+ngram")
    with pytest.raises(UsageError, match=r"s.yaml:\d+: variants.1: there is no setting 'nonsense'"):
        study_text(tmp_path / "s.yaml", Wanted(model="starcoder2-memorised", variants="bf16,bf16+nonsense"))


def test_a_cluster_s_login_node_asks_the_parser_where_it_has_vllm(
    tmp_path: Path, asked: list[list[Asked]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arguments, "_answers", lambda every: ["it is wrong" for _ in every])
    monkeypatch.setattr("study.executors.slurm.check_cluster", lambda *_: None)
    with pytest.raises(
        UsageError, match=r"study.yaml:\d+: variants.1: bf16\+ngram: engine_args: .* it is wrong"
    ) as said:
        told(tmp_path, ["bf16", "bf16+ngram"], executor="slurm")
    assert str(said.value).count("it is wrong") == 1
    with pytest.raises(UsageError) as here:
        told(tmp_path, ["bf16", "bf16+ngram"])
    assert str(here.value).count("it is wrong") == 1
    monkeypatch.setattr(checks, "vllm_is_installed", lambda: False)
    assert "cells to measure" in told(tmp_path, ["bf16", "bf16+ngram"], executor="slurm")
    assert asked == []
