"""Every YAML example of README and docs is a file that is read, by the code that reads such a file, and planned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from analysis.compare.runs import compare
from analysis.results.headline import headline
from configs import loader
from configs.datasets import load_dataset
from configs.executor import SideBySide
from configs.loader import STUDIES, load_study, load_variant
from configs.recordings import read_recording
from server.power.nvidia.nvml import Board
from study.cli.app import app
from study.executors import slots, slurm
from study.preflight import checks as preflight
from tests.docs.pages import Block, all_blocks, own_prompts, recording
from tests.docs.place import bring_humaneval
from tests.golden.world import LOADS, World

EXAMPLES = [block for block in all_blocks() if block.language == "yaml"]
BASE: dict[str, Any] = {
    "name": "base",
    "models": ["starcoder2-memorised"],
    "baseline": "bf16",
    "variants": ["bf16"],
    "loads": [{"kind": "closed", "concurrency": 2}],
    "prompts": {"dataset": "starwatt-24"},
}
"""What an example that shows a part of a study is completed with."""


def parsed(block: Block) -> dict[str, Any]:
    """What YAML makes of it."""
    shown = yaml.safe_load(block.text)
    assert isinstance(shown, dict), block.text
    return shown


def is_variant(shown: dict[str, Any]) -> bool:
    """Else it is a study, or a part of one."""
    return "quantization" in shown


def names(block: Block) -> str:
    """For the test's name."""
    return f"{block.page}: {', '.join(parsed(block))[:50]}"


@pytest.mark.parametrize("block", [one for one in EXAMPLES if not is_variant(parsed(one))], ids=names)
def test_a_study_or_a_part_of_one_is_read_and_planned(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _what_they_name(tmp_path, monkeypatch)
    file = tmp_path / "study.yaml"
    missing = {key: value for key, value in BASE.items() if key not in parsed(block)}
    file.write_text(yaml.safe_dump(missing) * bool(missing) + block.text, encoding="utf-8")
    study = load_study(file)
    if isinstance(study.executor, SideBySide):  # the page takes a machine with two boards for granted
        boards = [Board(number, f"GPU-{number}", "H") for number in range(2)]
        monkeypatch.setattr(slots, "visible_gpus", lambda: boards)
    if study.board:  # and with a board that may be set
        monkeypatch.setattr(preflight, "board_problems", lambda *_, **__: iter(()))
    done = CliRunner().invoke(app, ["run", str(file), "--out", str(tmp_path / "run"), "--dry-run", "--json"])
    assert done.exit_code == 0, (done.output, done.exception)
    loads = len(study.loads) * len(study.board_settings)
    cells = len(study.variants) * len(study.models) * loads * study.blocks
    assert json.loads(done.stdout)["cells"] >= cells


def test_the_tutorial_s_study_gives_the_intervals_that_its_page_promises(tmp_path: Path) -> None:
    [block] = [one for one in EXAMPLES if one.page == "docs/tutorial.md"]
    file = tmp_path / "my-study.yaml"
    file.write_text(block.text, encoding="utf-8")
    study = load_study(file)
    planned = CliRunner().invoke(
        app, ["run", str(file), "--out", str(tmp_path / "run"), "--dry-run", "--json"]
    )
    assert json.loads(planned.stdout)["engine_starts"] == len(study.variants) * study.blocks == 6
    runs = []
    for name in ("my-study", "my-study-again"):
        world = World(
            tmp_path / name,
            variants=("bf16", "int8-bnb"),
            loads=LOADS[:1],
            blocks=study.blocks,
            engine_restarts=study.engine_restarts,
            jitter=0.01,
        )
        runs.append(world.build().run)
    ratios = compare(runs).of("j_per_request")
    assert len(ratios) == 2
    assert all(one.estimate.lo is not None for one in ratios)
    [line] = headline(runs[0])
    assert line.kind == "variant_vs_baseline"
    assert line.lo is not None


def _what_they_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files and variables that the pages say a reader has."""
    (folder / "offsets.csv").write_text("0\n0.5\n2\n")
    (folder / "prompts.jsonl").write_text(own_prompts())
    (folder / ".keys").mkdir()
    (folder / ".keys" / "theirs").write_text("a-key-of-theirs\n")
    monkeypatch.setenv("HOME", str(folder))
    for name in ("HumanEval", "Mbpp"):
        bring_humaneval(folder / f"{name}Plus.jsonl.gz")
        monkeypatch.setenv(f"{name.upper()}_OVERRIDE_PATH", str(folder / f"{name}Plus.jsonl.gz"))
    for name in ("STARWATT_API_KEY", "STARWATT_METER_TOKEN", "TOKEN_OF_GPU7"):
        monkeypatch.setenv(name, "a-secret-0123456789")
    for module, other_machine in ((slurm, "check_cluster"), (preflight, "ask_once")):
        monkeypatch.setattr(module, other_machine, lambda *_: None)


@pytest.mark.parametrize("block", [one for one in EXAMPLES if is_variant(parsed(one))], ids=names)
def test_a_variant_is_read(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = parsed(block)["name"]
    (tmp_path / f"{name}.yaml").write_text(block.text, encoding="utf-8")
    monkeypatch.setattr(loader, "VARIANTS", tmp_path)
    assert load_variant(name).name == name


@pytest.mark.parametrize("block", [one for one in all_blocks() if one.language == "json"])
def test_prompts_of_ones_own_are_read(block: Block, tmp_path: Path) -> None:
    (tmp_path / "prompts.jsonl").write_text(block.text, encoding="utf-8")
    read = load_dataset(str(tmp_path / "prompts.jsonl"))
    assert len(read.tasks) == len(block.text.splitlines())
    assert read.has_tests == ("entry_point" in block.text)


def test_the_recording_is_read(tmp_path: Path) -> None:
    (tmp_path / "azure.csv").write_text(recording(), encoding="utf-8")
    read = read_recording(tmp_path / "azure.csv", 1024)
    assert (read.too_long, len(read.lengths or ())) == (1, 3)


def test_readmes_short_demo_is_the_demo() -> None:
    [shown] = [parsed(one) for one in EXAMPLES if one.page == "README.md" and parsed(one)["name"] == "demo"]
    whole = yaml.safe_load((STUDIES / "demo.yaml").read_text(encoding="utf-8"))
    assert shown == {key: whole[key] for key in shown}


def test_all_kinds_of_example_are_among_them() -> None:
    kinds = [is_variant(parsed(one)) for one in EXAMPLES]
    assert kinds.count(True) >= 1
    assert kinds.count(False) >= 8
