"""What a plan is going to take: ranges that hold what was recorded of such studies, and the plan in words."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from configs.controls import with_controls
from configs.datasets import load_dataset
from configs.loader import HERE, STUDIES, dump_study, load_study
from configs.schema import Study
from server.build.foresight import known_model
from study.executors.choice import executor_for
from study.measure.study_run import StudyRun
from study.plan.cells import PlannedCell, by_engine_start, plan_cells
from study.plan.forecast import Forecast, Outlook, forecast, span_words
from study.plan.rates import Hardware, boards_for, cpus_for
from study.plan.reckoning import Reckoner
from study.plan.span import Span
from study.preflight.outlook import outlook_of
from tests.study.plan.test_cells import FIELDS, plan
from tests.support.command import starwatt
from tests.support.studies import write_study
from tests.support.yardstick import two_processes
from traces.attempts import Attempt, note_attempt
from traces.layout import RunDir

BESIDE = Study.model_validate({**FIELDS, "executor": "side_by_side"})
TASKS = load_dataset("starwatt-24").tasks
A100 = "NVIDIA A100-SXM4-40GB"


def reckoner(study: Study, hardware: Hardware | None = None, tasks: Sequence[Any] = TASKS) -> Reckoner:
    """Of a study, on a board unless told otherwise."""
    shapes = {model: known_model(model.rpartition("/")[2]).shape for model in study.models}
    return Reckoner(study, tasks, shapes, {}, hardware or boards_for([A100], study.engine))


def foretold(units: Sequence[Sequence[PlannedCell]], **changes: Any) -> Forecast:
    """A forecast of these units."""
    counts = {name: changes.pop(name) for name in ("measured", "given_up") if name in changes}
    return forecast(Outlook(units, reckoner(Study.model_validate(FIELDS)), **changes), **counts)


def test_time_is_that_of_the_cells_their_engine_starts_and_what_comes_before_and_after() -> None:
    cells = plan()
    known = reckoner(Study.model_validate(FIELDS))
    alone = forecast(Outlook([cells], known))
    starts = [group[0] for group in by_engine_start(cells)]
    measuring = Span.sum([*(known.cell(cell) for cell in cells), *(known.start(cell) for cell in starts)])
    assert alone.parts["measuring"].low == pytest.approx(measuring.low)
    assert alone.parts["measuring"].high == pytest.approx(measuring.high)
    assert alone.engine_starts == len(starts)
    graded = forecast(Outlook([cells], known, graded=True, calibration=Span(5.0, 9.0)))
    assert graded.seconds.low > alone.seconds.low + 5
    assert graded.seconds.high > alone.seconds.high + 9
    assert Span.sum(graded.parts.values()) == graded.seconds


def test_energy_is_a_range_at_the_boards_limits_and_is_called_no_bound() -> None:
    told = foretold([plan()], limits_w=[700.0, 300.0])
    assert told.kwh is not None
    assert told.kwh.low == pytest.approx(1000.0 * told.seconds.low / 3.6e6)
    assert told.kwh.high == pytest.approx(1000.0 * told.seconds.high / 3.6e6)
    words = "\n".join(told.lines())
    assert "at most" not in words
    assert "1000 W" in words
    assert "no bound" in words


@pytest.mark.parametrize("limits_w", [[], [None], [700.0, None]])
def test_energy_is_not_made_up_where_a_limit_is_not_known(limits_w: list[float | None]) -> None:
    told = foretold([plan()], measured=3, given_up=1, limits_w=limits_w)
    assert told.kwh is None
    words = "\n".join(told.lines())
    assert "energy is not known" in words
    assert "kWh" not in words
    assert "3 measured already, 1 given up" in words


def test_units_side_by_side_take_as_long_as_the_last_of_them(tmp_path: Path) -> None:
    units = [unit.cells for unit in executor_for(BESIDE, RunDir(tmp_path)).units(plan())]
    assert len(units) == 4
    alone = [foretold([unit]).parts["measuring"] for unit in units]
    on_three = foretold(units, at_once=3).parts["measuring"]
    assert on_three.high == pytest.approx(max(alone[0].high + alone[3].high, alone[1].high, alone[2].high))
    assert "with 3 at a time" in "\n".join(foretold(units, at_once=3).lines())
    assert foretold(units, at_once=9).parts["measuring"].low == max(span.low for span in alone)
    run = RunDir(tmp_path)
    again = executor_for(BESIDE, run).again()
    assert len(again) == 4
    checked = foretold(units, at_once=3, after=again).parts["measuring"]
    known = reckoner(BESIDE)
    assert checked.low - on_three.low == pytest.approx(
        sum(known.cell(cell).low + known.start(cell).low for cell in again)
    )
    folder = RunDir(run.alone).cell(again[0].key)
    folder.mkdir(parents=True)
    (folder / "cell.json").touch()
    assert executor_for(BESIDE, run).again() == again[1:]


def test_ten_thousand_cells_are_planned_in_a_few_times_the_start_of_two_processes() -> None:
    begun_s = time.process_time()
    told = foretold([plan(blocks=334)])
    assert told.cells == 334 * 30
    assert time.process_time() - begun_s < 6 * two_processes().cpu_s


def paper() -> dict[tuple[str, str, str], float]:
    """Seconds of one run over 164 prompts in the paper: by model, quantisation and tokens of each answer."""
    runs: dict[tuple[str, str, str], list[float]] = {}
    with (HERE / "reference" / "paper_runs.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["pruned_last_layers"] == "0":
                key = row["model"], row["quantisation"], row["max_new_tokens"]
                runs.setdefault(key, []).append(float(row["runtime_s"]))
    return {key: mean(seconds) for key, seconds in runs.items()}


@pytest.mark.parametrize(("model", "quantisation", "tokens"), sorted(paper()))
def test_what_the_paper_took_lies_within_the_range(model: str, quantisation: str, tokens: str) -> None:
    variants = {"none": "fp32-hf", "bnb-fp4": "paper-fp4-hf", "bnb-int8": "paper-int8-hf"}
    study = Study.model_validate(
        {
            "name": "paper", "models": [model], "baseline": "fp32-hf", "variants": list(variants.values()),
            "loads": [{"kind": "single_stream"}], "measure": {"min_s": 0}, "blocks": 1,
            "prompts": {"dataset": "starwatt-24", "output": {"fixed": int(tokens)}},
            "phases": {"idle_s": 0.5, "warmup_s": 0}, "engine": {"max_num_seqs": 1},
        }
    )  # fmt: skip
    tasks = (TASKS * 7)[:164]
    known = reckoner(study, tasks=tasks)
    [cell] = [planned for planned in plan_cells(study, 164) if planned.variant == variants[quantisation]]
    seconds = paper()[model, quantisation, tokens]
    assert known.cell(cell).low < seconds < known.cell(cell).high
    assert known.cell(cell).high < 4 * known.cell(cell).low


def test_what_others_published_of_vllm_lies_within_the_range() -> None:
    """StarCoder2-3b in bf16 on an A100: 104 tokens/s, one request at a time."""
    study = Study.model_validate(
        {
            "name": "one", "models": ["starcoder2-3b"], "baseline": "bf16", "variants": ["bf16"],
            "loads": [{"kind": "single_stream"}], "measure": {"min_s": 0}, "blocks": 1,
            "prompts": {"dataset": "starwatt-24", "output": {"fixed": 500}},
            "phases": {"idle_s": 0.5, "warmup_s": 0, "rest_s": 0},
        }
    )  # fmt: skip
    [cell] = plan_cells(study, len(TASKS))
    span = reckoner(study).cell(cell)
    assert span.low < len(TASKS) * 500 / 104 < span.high


def test_the_demo_s_recorded_minutes_lie_within_the_range(tmp_path: Path) -> None:
    """10 min 0 s with the models in the store: two cores, one of them the engine's."""
    study = with_controls(load_study(STUDIES / "demo.yaml"))
    models = {name: known_model(name) for name in study.models}
    known = reckoner(study, cpus_for(1))
    cells = plan_cells(study, len(TASKS))
    dataset = load_dataset("starwatt-24")
    told = forecast(outlook_of(StudyRun(study, RunDir(tmp_path), dataset, cells), known, models, cells))
    assert told.seconds.low < 10 * 60 < told.seconds.high < 60 * 60


DEMO_REQUESTS_PER_S = {
    ("bf16", "single-stream"): 4.94, ("bf16", "closed-8"): 25.2,
    ("int4-awq", "single-stream"): 4.35, ("int4-awq", "closed-8"): 22.9,
    ("int8-bnb", "single-stream"): 2.76, ("int8-bnb", "closed-8"): 13.3,
    ("nf4-bnb", "single-stream"): 2.71, ("nf4-bnb", "closed-8"): 16.7,
}  # fmt: skip
"""docs/measurements/demo-cpu.md, the slower machine and the model of then."""


@pytest.mark.parametrize(("variant", "load"), sorted(DEMO_REQUESTS_PER_S))
def test_the_demo_s_recorded_rates_lie_within_the_range(variant: str, load: str) -> None:
    demo = with_controls(load_study(STUDIES / "demo.yaml"))
    measure = demo.measure.model_copy(update={"passes": 100, "min_s": 0.0})
    study = demo.model_copy(update={"measure": measure, "models": ("starcoder2-memorised",)})
    known = reckoner(study, cpus_for(1))
    cells = {(cell.variant, cell.key.load): cell for cell in plan_cells(study, len(TASKS))}
    span = known.cell(cells[variant, load])
    assert span.low < 100 * len(TASKS) / DEMO_REQUESTS_PER_S[variant, load] < span.high


def test_the_hours_that_the_paper_s_study_states_lie_within_the_range() -> None:
    study = load_study(STUDIES / "paper-formats.yaml")
    tasks = (TASKS * 7)[:164]
    told = forecast(Outlook([plan_cells(study, len(tasks))], reckoner(study, tasks=tasks)))
    assert told.seconds.low < 12 * 3600 < told.seconds.high


def test_a_larger_model_a_slower_board_and_a_slower_engine_take_longer() -> None:
    def seconds(variant: str, model: str, hardware: Hardware) -> float:
        fields = {**FIELDS, "models": [model], "baseline": variant, "variants": [variant]}
        study = Study.model_validate({**fields, "loads": [{"kind": "single_stream"}], "blocks": 1})
        [cell] = plan_cells(study, len(TASKS))
        return reckoner(study, hardware).cell(cell).middle

    settings = Study.model_validate(FIELDS).engine
    h100, l4 = boards_for(["NVIDIA H100 PCIe"], settings), boards_for(["NVIDIA L4"], settings)
    small = seconds("bf16", "starcoder2-3b", h100)
    assert small < seconds("bf16", "starcoder2-15b", h100)
    assert small < seconds("bf16", "starcoder2-3b", l4) < seconds("bf16", "starcoder2-3b", cpus_for(2))
    assert small < seconds("bf16-eager", "starcoder2-3b", h100) < seconds("int8-bnb", "starcoder2-3b", h100)
    unknown = boards_for(["a board of next year"], settings)
    assert unknown.bandwidth.high < l4.bandwidth.high * 1.01
    assert unknown.bandwidth.low > h100.bandwidth.low


def test_a_load_that_looks_for_its_rate_takes_its_search_and_what_any_load_takes() -> None:
    def seconds(**load: Any) -> Span:
        study = Study.model_validate({**FIELDS, "variants": ["bf16"], "loads": [load], "blocks": 1})
        return reckoner(study).cell(plan_cells(study, len(TASKS))[0])

    closed = seconds(kind="closed", concurrency=256)
    quick, slow = (
        seconds(kind="find_rate", slo={"ttft": "1s"}, window_s=5, search_for_s=longest)
        for longest in (60, 3600)
    )
    assert closed.low + 50 <= quick.low == slow.low
    assert quick.high + 3500 < slow.high < quick.high + 3600


@pytest.mark.parametrize(
    ("low_s", "high_s", "words"),
    [
        (0.2, 0.4, "1 s"),
        (480, 900, "8 to 15 min"),
        (50, 900, "50 s to 15 min"),
        (1200, 7800, "20 min to 2 h 10 min"),
        (36000, 180000, "10 h 00 min to 50 h"),
    ],
)
def test_a_range_of_time_is_told_in_units_that_fit(low_s: float, high_s: float, words: str) -> None:
    assert span_words(Span(low_s, high_s)) == words


def test_a_dry_run_says_what_is_left_and_starts_and_writes_nothing(tmp_path: Path) -> None:
    file = write_study(tmp_path)
    run = RunDir(tmp_path / "run")
    done = starwatt("run", file, "--out", run.root, "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    before = json.loads(done.stdout)
    assert before["measured"] == before["given_up"] == 0
    assert 0 < before["seconds_low"] < before["seconds"] < before["seconds_high"]
    assert not run.root.exists()
    study = load_study(file)
    first, second = plan_cells(study, 4)[:2]
    run.root.mkdir()
    run.study.write_text(dump_study(with_controls(study)))
    folder = run.cell(first.key)
    folder.mkdir(parents=True)
    (folder / "cell.json").touch()
    for _ in range(study.attempts):
        note_attempt(run, Attempt.now(second.key, "gone"))
    after = json.loads(starwatt("run", file, "--out", run.root, "--dry-run", "--json").stdout)
    assert (after["measured"], after["given_up"]) == (1, 1)
    assert after["cells"] == before["cells"] - 2
    words = starwatt("run", file, "--out", run.root, "--dry-run").stdout
    assert "1 measured already, 1 given up after failing" in words
    assert "variants: bf16 (vLLM), int8-bnb (vLLM, eager), bf16-eager (vLLM, eager)" in words
    assert "controls: int8-bnb is also compared with bf16-eager" in words
    assert "loads: single-stream, closed-8, open-6-poisson, in 5 blocks" in words
    assert "to build: " in words
    assert "to download: nothing" in words


def test_more_boards_take_less_time_and_a_smaller_batch_more() -> None:
    variants = ["bf16", "bf16+tensor-2", "bf16+seqs-32"]
    loads = [{"kind": "closed", "concurrency": 128}]
    study = Study.model_validate(
        {**FIELDS, "models": FIELDS["models"][:1], "variants": variants, "loads": loads}
    )
    known = reckoner(study, tasks=TASKS * 20)
    wide, alone, narrow = (
        next(known.cell(cell).high for cell in plan_cells(study, 480) if cell.variant == name)
        for name in ("bf16+tensor-2", "bf16", "bf16+seqs-32")
    )
    assert wide < alone < narrow
