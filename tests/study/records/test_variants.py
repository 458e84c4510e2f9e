"""A run that is resumed after the file of a variant, a setting or a chat template was changed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from configs import loader
from configs.loader import load_variant
from configs.schema import Study
from starwatt_errors import UsageError
from study.records.lock import check_folder, locked
from study.records.sessions import continued, swapped_since
from study.records.variants import frozen, variants_as_run
from tests.study.plan.test_cells import FIELDS
from tests.study.records.test_sessions import FIRST
from traces.atomic import write_json
from traces.layout import RunDir

FILE = Path("s.yaml")
EARLIER = {name: part for name, part in FIRST.items() if name != "sensor_calibration"}


@pytest.fixture
def presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Presets of variants and settings that may be changed, with a chat template among them."""
    for name, kept in (("VARIANTS", loader.VARIANTS), ("SETTINGS", loader.SETTINGS)):
        shutil.copytree(kept, tmp_path / kept.name)
        monkeypatch.setattr(loader, name, tmp_path / kept.name)
    (tmp_path / "settings" / "chat.yaml").write_text(
        "name: chat\ndescription: d\nengine_args: {chat_template: mine.jinja}\n"
    )
    (tmp_path / "settings" / "mine.jinja").write_text("{{ messages[0].content }}")
    return tmp_path


def study() -> Study:
    return Study.model_validate(
        {**FIELDS, "baseline": "bf16", "variants": ["bf16", "bf16+ngram", "bf16+chat"]}
    )


@pytest.fixture
def begun(presets: Path) -> RunDir:
    run = RunDir(presets / "run")
    with locked(run, study(), FILE):
        write_json(run.manifest, {**EARLIER, "variants": variants_as_run(study())})
    return run


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_setting_whose_value_was_changed_is_refused_with_both_values(begun: RunDir, presets: Path) -> None:
    rewrite(presets / "settings" / "ngram.yaml", "num_speculative_tokens: 5", "num_speculative_tokens: 6")
    with pytest.raises(UsageError) as refused:
        check_folder(begun, study(), FILE)
    said = "variants.bf16+ngram.engine_args.speculative_config.num_speculative_tokens: 5 there, 6 here"
    assert said in str(refused.value)
    assert "bf16+chat" not in str(refused.value), "nothing is said of what is as it was"
    with pytest.raises(UsageError, match="begun with variants that are others"):
        check_folder(begun, study().model_copy(update={"blocks": 9}), FILE, grow=True)


def test_a_variant_whose_type_was_changed_is_refused(begun: RunDir, presets: Path) -> None:
    rewrite(presets / "variants" / "bf16.yaml", "bfloat16", "float16")
    with pytest.raises(
        UsageError, match=r"variants\.bf16\.quantization\.dtype: bfloat16 there, float16 here"
    ):
        check_folder(begun, study(), FILE)


@pytest.mark.parametrize("change", ["other", None])
def test_a_chat_template_with_other_text_or_none_is_refused(
    begun: RunDir, presets: Path, change: str | None
) -> None:
    manifest = {"variants": variants_as_run(study())}
    template, held = presets / "settings" / "mine.jinja", frozen(study())
    template.unlink() if change is None else template.write_text(change)
    changed = swapped_since(manifest, {"variants": variants_as_run(held)})
    assert len(changed) == 1
    assert changed[0].startswith("variants.bf16+chat.engine_args.chat_template: sha256 ")


def test_what_changes_nothing_of_what_is_served_is_no_change(
    begun: RunDir, presets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = presets / "variants" / "bf16.yaml"
    path.write_text("".join(
        "description: said in other words\n" if line.startswith("description:") else line
        for line in path.read_text().splitlines(keepends=True)
    ))  # fmt: skip
    shutil.copytree(presets / "settings", presets / "moved")
    monkeypatch.setattr(loader, "SETTINGS", presets / "moved")
    assert load_variant("bf16+chat").engine_args["chat_template"] == str(presets / "moved" / "mine.jinja")
    check_folder(begun, study(), FILE)


def test_a_run_that_is_older_than_this_record_is_resumed_and_has_it_afterwards(begun: RunDir) -> None:
    write_json(begun.manifest, EARLIER)
    check_folder(begun, study(), FILE)
    now = {**EARLIER, "variants": variants_as_run(study())}
    assert continued(now, EARLIER)["variants"] == variants_as_run(study())


def test_a_field_that_variants_did_not_have_yet_is_no_change(begun: RunDir) -> None:
    kept: dict[str, Any] = variants_as_run(study())
    for fields in kept.values():
        del fields["trust_remote_code"]
    write_json(begun.manifest, {**EARLIER, "variants": kept})
    check_folder(begun, study(), FILE)
    kept["bf16"]["a_field_of_another_version"] = 1
    write_json(begun.manifest, {**EARLIER, "variants": kept})
    with pytest.raises(UsageError, match="a_field_of_another_version: 1 there, nothing here"):
        check_folder(begun, study(), FILE)


def test_a_file_that_changes_while_it_is_measured_reaches_no_cell(presets: Path) -> None:
    held = frozen(study())
    rewrite(presets / "settings" / "ngram.yaml", "num_speculative_tokens: 5", "num_speculative_tokens: 6")
    assert '"num_speculative_tokens":5' in load_variant("bf16+ngram", held.defined).model_dump_json()
    assert '"num_speculative_tokens":6' in load_variant("bf16+ngram", study().defined).model_dump_json()
