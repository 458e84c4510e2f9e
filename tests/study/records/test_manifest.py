"""A run's own files suffice to repeat it, and hold no secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from configs.controls import with_controls
from configs.datasets import load_dataset
from configs.loader import load_study
from configs.loads import Open
from configs.schema import Study
from server.build.store import Checkpoint
from server.power.nvidia.library import NvmlError
from starwatt_errors import UsageError
from study.executors.local import LocalExecutor
from study.measure.study_run import StudyRun
from study.plan.arrivals import as_kept, keep_arrivals
from study.plan.lengths import forced_lengths
from study.records.lock import locked
from study.records.manifest import build_manifest
from study.records.repeat import Repeated, wanted_study
from study.records.sessions import continued
from tests.golden.nvml.world import MISMATCH, GoldenBoards
from tests.server.power.conftest import nvml, nvml_here, nvml_library  # noqa: F401 -- fixtures
from traces.atomic import write_json
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
    first = StudyRun.read(study_file, tmp_path / "run")
    with locked(first.run, first.study, study_file):
        pass
    again = StudyRun.read(first.run.study, tmp_path / "elsewhere" / "run")
    assert again.study == first.study
    assert again.cells == first.cells
    assert "bf16-eager" in again.study.variants
    with locked(again.run, again.study, first.run.study):
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
    for part in (
        "host",
        "gpus",
        "packages",
        "git",
        "meters",
        "sensor_calibration",
        "cpus",
        "sessions",
        "variants",
    ):
        assert part in manifest


@pytest.mark.parametrize("meter", [None, "http://127.0.0.1:9"])
def test_boards_of_a_machine_that_measures_none_of_its_own_may_fail_and_are_not_in_its_record(
    study_file: Path,
    nvml_here: GoldenBoards,  # noqa: F811
    meter: str | None,
) -> None:
    read = load_study(study_file)
    fields = {
        "variants": ["far"],
        "baseline": "far",
        "remote": {"far": {"url": "http://far:1", "meter": meter}},
    }
    far = Study.model_validate(
        {**read.model_dump(), **fields, "loads": [{"kind": "single_stream"}], "meters": {}}
    )
    dataset = load_dataset("starwatt-24")
    nvml_here.strike("init", MISMATCH)
    manifest = build_manifest(far, dataset, {})
    assert (manifest["gpus"], manifest["meters"]["used"], manifest["sensor_calibration"]) == ([], [], None)
    assert not LocalExecutor(far).site().boards
    local = {"far": {"url": "http://far:1", "meter": "local"}}
    with pytest.raises(NvmlError, match="version mismatch"):
        build_manifest(Study.model_validate({**far.model_dump(), "remote": local}), dataset, {})


def test_a_run_that_was_given_to_somebody_else_is_repeated_from_its_own_files(
    tmp_path: Path, study_file: Path
) -> None:
    first = StudyRun.read(study_file, tmp_path / "run")
    tasks = first.task_ids
    with locked(first.run, first.study, study_file):
        keep_arrivals(first.run, first.study)
        forced = forced_lengths(first.run, first.study, tasks)
    write_json(first.run.manifest, build_manifest(first.study, first.dataset, {}))
    given = RunDir((tmp_path / "given").resolve())
    first.run.root.rename(given.root)
    for name in ("offsets.csv", "lengths.csv", "study.yaml"):
        (tmp_path / name).unlink()
    repeated = Repeated.read(given.study)
    again = StudyRun.read(given.study, wanted_study(None, given.study, None).out)
    assert again.run.root == Path("runs/provenance-again")
    assert [cell.key for cell in again.cells] == [cell.key for cell in first.cells]
    elsewhere = RunDir(tmp_path / "elsewhere")
    elsewhere.root.mkdir()
    repeated.prepare(elsewhere)
    assert forced_lengths(elsewhere, again.study, tasks) == forced
    keep_arrivals(elsewhere, again.study)
    assert (elsewhere.root / "arrivals" / "open-trace-offsets" / "offsets.csv").is_file()
    with pytest.raises(UsageError, match="--out takes another folder"):
        wanted_study(None, given.study, given.root)


def test_a_repetition_says_what_differs_and_is_refused_with_other_weights(
    tmp_path: Path, study_file: Path
) -> None:
    study_run = StudyRun.read(study_file, tmp_path / "run")
    manifest = build_manifest(study_run.study, study_run.dataset, {})
    with locked(study_run.run, study_run.study, study_file):
        write_json(
            study_run.run.manifest,
            {**manifest, "models": {"m": {"digest": "1"}}, "packages": {"vllm": "0.1"}},
        )
    repeated = Repeated.read(study_run.run.study)
    same = repeated.compared({**manifest, "models": {"m": {"digest": "1"}}, "packages": {"vllm": "0.2"}})
    assert same["repeats"]["changed"] == ["packages.vllm: 0.1 there, 0.2 here"]
    with pytest.raises(UsageError, match=r"no repetition.*\n  models\.m\.digest: 1 there, 2 here"):
        repeated.compared({**manifest, "models": {"m": {"digest": "2"}}})
    assert continued(manifest, {**same, "models": manifest["models"]})["repeats"] == same["repeats"], (
        "on a resume"
    )


def test_arrival_times_that_were_changed_are_refused_on_a_resume(tmp_path: Path, study_file: Path) -> None:
    study_run = StudyRun.read(study_file, tmp_path / "run")
    keep_arrivals(study_run.run, study_run.study)
    (tmp_path / "offsets.csv").write_text("0.0\n0.5\n")
    [load] = [load for load in study_run.study.loads if isinstance(load, Open)]
    asked = as_kept(load, study_run.run)
    assert isinstance(asked, Open)
    assert asked.slug == load.slug
    assert asked.trace is not None
    assert asked.trace.read_text() == "0.0\n0.4\n0.9\n", "an edit while it runs reaches no cell"
    with pytest.raises(UsageError, match="arrival times"):
        keep_arrivals(study_run.run, study_run.study)


def test_a_repetition_with_other_arrival_times_is_refused(tmp_path: Path, study_file: Path) -> None:
    study_run, again = StudyRun.read(study_file, tmp_path / "run"), RunDir(tmp_path / "again")
    keep_arrivals(study_run.run, study_run.study)
    Repeated(study_run.run, {}).prepare(again)
    keep_arrivals(again, study_run.study)
    (tmp_path / "offsets.csv").write_text("0.0\n0.5\n")
    with pytest.raises(UsageError, match="are not those of this run"):
        keep_arrivals(again, study_run.study)


@pytest.mark.parametrize(("study", "repeat"), [(None, None), (Path("a"), Path("b"))])
def test_run_takes_a_study_or_a_run_to_repeat(study: Path | None, repeat: Path | None) -> None:
    with pytest.raises(UsageError, match="and not both"):
        wanted_study(study, repeat, None)


def test_only_a_run_can_be_repeated(study_file: Path) -> None:
    with pytest.raises(UsageError, match=r"--from takes RUN/study\.yaml of a run"):
        wanted_study(None, study_file, None)
