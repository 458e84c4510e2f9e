"""Recorded answer lengths: a table's, or those of a finished run's baseline."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.loader import HERE as CONFIGS
from configs.loader import LENGTHS, load_study
from configs.schema import RecordedOutput, Study
from starwatt_errors import UsageError
from study.plan.lengths import forced_lengths, read_table, recorded_lengths
from tests.golden.world import MODEL_NAME, World
from tests.support.studies import write_study
from traces.layout import RunDir
from traces.streams import read_trace


def recording(folder: Path, text: str, max_tokens: int = 64) -> Study:
    """A study of two models whose lengths lie in a table."""
    table = folder / "lengths-in.csv"
    table.write_text(text)
    return Study.model_validate(
        {
            "name": "s",
            "models": ["o/a", "o/b"],
            "baseline": "bf16",
            "variants": ["bf16"],
            "loads": [{"kind": "single_stream"}],
            "prompts": {"output": {"recorded": str(table)}, "max_tokens": max_tokens},
        }
    )


def test_a_table_says_each_tasks_length_and_the_run_keeps_what_was_forced(tmp_path: Path) -> None:
    study = recording(tmp_path, "# counted by hand\ntask_id,tokens\nT/0,7\nT/1,9\nT/2,60\n")
    run = RunDir(tmp_path / "run")
    lengths = forced_lengths(run, study, ["T/0", "T/1"])
    assert lengths == {"o--a": {"T/0": 7, "T/1": 9}, "o--b": {"T/0": 7, "T/1": 9}}
    (tmp_path / "lengths-in.csv").write_text("task_id,tokens\nT/0,1\nT/1,1\n")
    again = forced_lengths(run, study, ["T/0", "T/1"])
    assert again["o--b"] == {"T/0": 7, "T/1": 9}, "a resumed study forces what it forced before"
    assert (run.root / LENGTHS).is_file()


def test_a_column_model_says_whose_the_lengths_are(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("model,task_id,tokens\no--a,T/0,7\no--b,T/0,8\n")
    assert (read_table(table, "o--a"), read_table(table, "o--b")) == ({"T/0": 7}, {"T/0": 8})


@pytest.mark.parametrize(
    ("text", "max_tokens", "message"),
    [
        ("task_id,tokens\nT/0,7\n", 64, r"has no length for T/1 of o--a \(1 of 2 tasks are missing\)"),
        ("task_id,tokens\nT/0,7\nT/1,65\n", 64, "prompts.max_tokens must be at least 65"),
        ("task,tokens\nT/0,7\n", 64, "takes a CSV file with the columns task_id and tokens"),
        (
            "task_id,tokens\nT/0,many\n",
            64,
            r"lengths-in\.csv:2: tokens takes a whole number from 1 to 1048576 \(given: 'many'\)",
        ),
        ("task_id,tokens\nT/0,0\n", 64, "tokens takes a whole number from 1"),
        ("", 64, "takes a CSV file"),
    ],
)
def test_a_table_that_cannot_be_forced_is_refused(
    tmp_path: Path, text: str, max_tokens: int, message: str
) -> None:
    study = recording(tmp_path, text, max_tokens)
    with pytest.raises(UsageError, match=message):
        forced_lengths(RunDir(tmp_path / "run"), study, ["T/0", "T/1"])
    assert not (tmp_path / "run" / LENGTHS).exists()


def test_a_finished_run_gives_its_baselines_lengths(tmp_path: Path) -> None:
    world = World(tmp_path / "run", blocks=1).build()
    lengths = recorded_lengths(world.root, MODEL_NAME)
    study = load_study(world.run.study)
    key = next(
        key for key in world.cell_keys() if (key.variant, key.load) == (study.baseline, "single-stream")
    )
    rows = read_trace(world.run.cell(key), "requests").to_pylist()
    measured = [row for row in rows if row["role"] == "measured"]
    assert set(lengths) == {row["task_id"] for row in measured}
    for task, tokens in lengths.items():
        assert tokens == next(row["output_tokens"] for row in measured if row["task_id"] == task)
    with pytest.raises(UsageError, match="has no finished cell of its baseline bf16 with other"):
        recorded_lengths(world.root, "other")
    with pytest.raises(UsageError, match="is no run of a study"):
        recorded_lengths(tmp_path, MODEL_NAME)


def test_a_study_names_recorded_lengths_relative_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("task_id,tokens\n")
    path = write_study(tmp_path, ("max_tokens: 64", "max_tokens: 64\n  output: {recorded: l.csv}"))
    assert load_study(path).prompts.output == RecordedOutput(recorded=tmp_path / "l.csv")
    missing = write_study(tmp_path, ("max_tokens: 64", "max_tokens: 64\n  output: {recorded: no.csv}"))
    with pytest.raises(UsageError, match=r"prompts\.output\.recorded: there is no file and no run .*no\.csv"):
        load_study(missing)


def test_random_weights_have_no_natural_length(tmp_path: Path) -> None:
    path = write_study(tmp_path, ("models: [starcoder2-memorised]", "models: [starcoder2-3b]"))
    with pytest.raises(UsageError, match=r"models\.0: starcoder2-3b has random weights.*\{fixed: N\}"):
        load_study(path)


def test_the_table_that_comes_with_us_has_every_task_of_humaneval() -> None:
    lengths = read_table(CONFIGS / "lengths" / "humaneval+-canonical.csv", "starcoder2-3b")
    assert sorted(lengths) == sorted(f"HumanEval/{number}" for number in range(164))
    assert max(lengths.values()) <= 512
