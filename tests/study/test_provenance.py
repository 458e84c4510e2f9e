"""A run's own files suffice to repeat it, and hold no secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from configs.controls import with_controls
from configs.datasets import load_dataset
from configs.loader import load_study
from server.store import Checkpoint
from study.claim import claimed
from study.manifest import build_manifest
from study.run import Order
from traces.layout import RunDir

STUDY = """
name: provenance
models: [starcoder2-memorised]
baseline: bf16
variants: [bf16, int8-bnb]
loads:
  - {kind: closed, concurrency: 4}
  - {kind: open, trace: offsets.csv}
prompts: {dataset: starwatt-24, tasks: 12, output: {recorded: lengths.csv}}
meters: {sources: [modelled]}
blocks: 3
seed: 11
"""


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    """A study that names other files, and whose int8 variant needs a control that the plan adds."""
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    (tmp_path / "offsets.csv").write_text("0.0\n0.4\n0.9\n")
    (tmp_path / "lengths.csv").write_text(
        "task_id,tokens\n" + "".join(f"{task.task_id},9\n" for task in load_dataset("starwatt-24").tasks)
    )
    return path


def test_the_study_file_of_a_run_repeats_it_elsewhere(tmp_path: Path, study_file: Path) -> None:
    first = Order.read(study_file, tmp_path / "run")
    with claimed(first.run, first.study, study_file):
        pass
    again = Order.read(first.run.study, tmp_path / "elsewhere" / "run")
    assert again.study == first.study
    assert again.cells == first.cells
    assert "bf16-eager" in again.study.variants
    with claimed(again.run, again.study, first.run.study):
        assert RunDir(tmp_path / "elsewhere" / "run").study.read_text() == first.run.study.read_text()


def test_the_manifest_says_what_a_repetition_needs_and_no_secret(
    study_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STARWATT_API_KEY", "STARWATT_METER_TOKEN", "HF_TOKEN"):
        monkeypatch.setenv(name, "a-secret")
    study = with_controls(load_study(study_file))
    dataset = load_dataset("starwatt-24")
    checkpoint = Checkpoint(Path("/x"), "0123", memorised=True)
    pairs = {(model, variant): checkpoint for model in study.models for variant in study.variants}
    manifest = build_manifest(study, dataset, pairs)
    assert "a-secret" not in json.dumps(manifest)
    assert manifest["seed"] == 11
    assert manifest["dataset"]["sha256"] == dataset.sha256
    assert {model["digest"] for model in manifest["models"].values()} == {"0123"}
    for part in ("host", "gpus", "packages", "git", "meters", "sensor_calibration", "cpus", "sessions"):
        assert part in manifest
