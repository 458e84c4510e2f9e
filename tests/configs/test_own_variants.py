"""Variants that a study names by their files: found beside it, kept in the resolved study, and derived from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from configs.controls import with_controls
from configs.loader import dump_study, kept_study, load_study, load_variant
from starwatt_errors import UsageError

MINE = "name: mine\ndescription: mine\nquantization: {kind: bitsandbytes, bits: 4}\nprune: {last: 1}\n"
STUDY = """name: s
models: [starcoder2-memorised]
baseline: BASELINE
variants: VARIANTS
loads: [{kind: single-stream}]
prompts: {dataset: starwatt-24}
"""


def written(
    folder: Path, variants: str = "[bf16, ./mine.yaml]", baseline: str = "bf16", more: str = ""
) -> Path:
    """A study, and the file of a variant in a folder beside it."""
    (folder / "mine.yaml").write_text(MINE)
    text = STUDY.replace("BASELINE", baseline).replace("VARIANTS", variants) + more
    (folder / "study.yaml").write_text(text)
    return folder / "study.yaml"


def test_a_variant_is_found_by_its_file_and_the_run_is_readable_without_it(tmp_path: Path) -> None:
    study = load_study(written(tmp_path))
    assert study.variants == ("bf16", "mine")
    assert load_variant("mine", study.defined).prune is not None
    run = tmp_path / "run"
    run.mkdir()
    (run / "study.yaml").write_text(dump_study(study))
    (tmp_path / "mine.yaml").unlink()
    assert load_study(run / "study.yaml") == kept_study(run / "study.yaml") == study
    assert study.loads[0].kind == "single_stream"


def test_it_may_be_the_baseline_and_others_are_derived_from_it(tmp_path: Path) -> None:
    more = "controls: {mine-eager: ./mine.yaml}\n"
    study = load_study(written(tmp_path, "[./mine.yaml, mine-eager]", "./mine.yaml", more))
    assert (study.baseline, study.controls) == ("mine", {"mine-eager": "mine"})
    eager = load_variant("mine-eager", study.defined)
    assert (eager.enforce_eager, eager.prune) == (True, load_variant("mine", study.defined).prune)
    assert with_controls(study).variants == ("mine", "mine-eager")


@pytest.mark.parametrize("ending", ["yaml", "yml", "json"])
def test_settings_go_behind_the_path_of_any_kind_of_file(tmp_path: Path, ending: str) -> None:
    folder = tmp_path / "a+b"
    folder.mkdir()
    mine = {"name": "mine", "description": "d", "quantization": {"kind": "none"}}
    (folder / f"mine.{ending}").write_text(json.dumps(mine))  # JSON is YAML too
    study = load_study(written(tmp_path, f"[bf16, a+b/mine.{ending}+seqs-32]"))
    assert study.variants == ("bf16", "mine+seqs-32")
    assert load_variant("mine+seqs-32", study.defined).engine_args == {"max_num_seqs": 32}


def test_a_variant_may_be_written_into_the_study(tmp_path: Path) -> None:
    more = "defined: {mine: {name: mine, description: d, prune: {last: 1}}}\n"
    study = load_study(written(tmp_path, "[bf16, mine]", more=more))
    assert load_variant("mine", study.defined).description == "d"


def test_no_variant_sets_the_memory_that_resident_engines_share(tmp_path: Path) -> None:
    more = "engine_restarts: {resident: auto}\n"
    study = written(tmp_path, more=more)
    (tmp_path / "mine.yaml").write_text(
        "{name: mine, description: d, engine_args: {kv_cache_memory_bytes: 9}}\n"
    )
    with pytest.raises(
        UsageError, match=r"variants\.1: mine: engine_args: kv_cache_memory_bytes is each engine's"
    ):
        load_study(study)
    study.write_text(study.read_text().replace(more, ""))
    assert load_study(study).variants == ("bf16", "mine")


@pytest.mark.parametrize(
    ("variants", "content", "message"),
    [
        ("[bf16, ./none.yaml]", MINE, r"study\.yaml:4: variants\.1: .*none\.yaml: cannot be read"),
        ("[bf16, ./mine.yaml]", "name: mine\n", r"variants\.1: .*mine\.yaml.*description"),
        ("[bf16, ./mine.yaml]", MINE.replace("mine\n", "nf4-bnb\n", 1), r"variants\.1: nf4-bnb is what another"),
        ("[bf16, ./mine.yaml]", MINE.replace("mine\n", "bf16\n", 1), r"variants\.1: ./mine\.yaml is called bf16"),
        ("[bf16, ./mine.yaml, mine.yaml]", MINE, r"variants\.2: mine\.yaml is called mine .*and so is another"),
        ("[bf16, mine]", MINE, r"variants\.1: there is no variant 'mine'.*by its path, \./mine\.yaml"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_it_is_told_with_the_studys_line(
    tmp_path: Path, variants: str, content: str, message: str
) -> None:
    study = written(tmp_path, variants)
    (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(UsageError, match=message):
        load_study(study)
