"""Loads that look for their rate, in a study: what each variant finds, what is measured there, and what tables say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.compare.runs import compare
from analysis.keys import Condition
from analysis.opened import OpenedRun, open_run
from analysis.report.page import render
from analysis.results.answers import answers_in
from analysis.results.points import Results, read_results
from analysis.results.rates import RATES
from analysis.verify.run import verify
from analysis.verify.search import search_findings
from configs.loads import Open
from loadgen.planning.schedule import planned
from loadgen.spec import LoadSpec, Passes
from study.plan.cells import PlannedCell
from tests.study.measure.virtual_search import BUSY_W, VirtualStudy
from tests.study.rate.virtual import Floats, Served, Server, queueing, steady
from tests.support.tamper import rewrite
from traces.cell import read_cell
from traces.layout import RunDir
from traces.streams import has_trace, read_trace

MODEL = "starcoder2-memorised"
SERVERS: dict[str, Server] = {"bf16": queueing(0.1), "int8-bnb": queueing(0.05)}
LOAD: dict[str, Any] = {"kind": "find_rate", "slo": {"e2e": "300ms"}}
TRUE = {"bf16": 0.587 / 0.1, "int8-bnb": 0.7996 / 0.05}
"""M/D/1, waiting for two services at most, and for five: 9 of 10 do at these loads, by Erlang's formula."""
RATIO = TRUE["int8-bnb"] / TRUE["bf16"]


def one_cell(folder: Path, server: Server, **load: Any) -> VirtualStudy:
    """A study of one variant and block."""
    return VirtualStudy(folder, {"bf16": server}, {"loads": [{**LOAD, **load}], "blocks": 1})


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    """Undone when all of them have run."""
    with pytest.MonkeyPatch.context() as patched:
        yield patched


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, patch: pytest.MonkeyPatch) -> VirtualStudy:
    """Two variants in three blocks, measured."""
    made = VirtualStudy(tmp_path_factory.mktemp("searched") / "run", SERVERS, {"loads": [LOAD]})
    made.measure(patch)
    return made


@pytest.fixture(scope="module")
def opened(study: VirtualStudy) -> OpenedRun:
    """It, analysed."""
    return open_run(study.run)


@pytest.fixture(scope="module")
def results(opened: OpenedRun) -> Results:
    """What its tables say."""
    return read_results(opened)


def rows_of(run: RunDir, metric: str) -> list[dict[str, Any]]:
    """Rows of the table of cells, in the order of variants and blocks."""
    return [row for row in open_run(run).rows("cells") if row["metric"] == metric]


def test_each_variant_and_block_finds_its_own_rate_with_an_interval_that_covers_the_true_one(
    results: Results,
) -> None:
    rows = [row for row in results.cell_rows if row["metric"] == "rate_found"]
    assert len(rows) == 6
    for row in rows:
        assert row["valid"], row
        assert (row["unit"], row["interval_kind"]) == ("requests/s", "search")
        assert row["lo"] <= TRUE[row["variant"]] <= row["hi"], row
        assert row["lo"] < row["value"] <= row["hi"]


def test_the_cell_is_whole_passes_at_that_rate_with_its_joules_and_what_was_searched_lies_beside_it(
    study: VirtualStudy, results: Results
) -> None:
    for cell in study.cells:
        folder = study.run.cell(cell.key)
        record, roles = read_cell(folder), read_trace(folder, "requests")["role"].to_pylist()
        assert record.rate is not None
        assert roles.count("measured") % 24 == 0
        assert has_trace(folder, "power")
        searched = [window for window in record.rate.windows if window.folder != "."]
        assert [window.folder for window in searched] == [
            f"search/w{n:02d}" for n in range(1, len(searched) + 1)
        ]
        assert not any(
            has_trace(folder / window.folder, "power") for window in searched if not window.confirms
        )
        assert (record.rate.confirmed, record.rate.windows[-1].folder) == (True, ".")
    for name in TRUE:
        point = results.point(Condition(MODEL, name, "find-rate"))
        assert point is not None
        expected_j = BUSY_W / (point.mean("request_rate") or 0.0)
        assert point.mean("j_per_request_in_slo") == pytest.approx(expected_j, rel=0.05)
        assert point.mean("request_rate") == pytest.approx(point.mean("rate_found"), rel=0.1)


def test_rates_and_joules_of_a_good_request_are_compared_by_block_with_intervals(results: Results) -> None:
    [contrast] = results.of(MODEL, "variant_vs_baseline")
    for name, truth in (("rate_found_ratio", RATIO), ("j_per_request_in_slo_ratio", 1 / RATIO)):
        row = contrast.metrics[name]
        assert (row["blocks"], row["interval_kind"]) == (3, "blocks")
        assert row["lo"] <= truth <= row["hi"], row
    assert contrast.metrics["rate_found_ratio_p_holm"]["value"] < 0.05


def test_variants_meet_the_same_prompts_at_the_same_gaps_scaled_by_their_rates(study: VirtualStudy) -> None:
    def drawn(variant: str, block: int) -> tuple[list[float], list[str]]:
        specs = (spec for cell, spec in study.specs if (cell.variant, cell.key.block) == (variant, block))
        spec = next(spec for spec in specs if isinstance(spec.amount, Passes))
        assert isinstance(spec.load, Open)
        items = list(planned(spec))
        services = [(due_ns or 0) * 1e-9 * (spec.load.qps or 0.0) for due_ns, _ in items]
        return services[:50], [item.task.task_id for _, item in items if item.role == "measured"][:24]

    (times, tasks), (others, other_tasks) = (drawn(name, 1) for name in TRUE)
    assert times == pytest.approx(others, rel=1e-6)
    assert tasks == other_tasks
    assert len(set(tasks)) == 24
    assert times != pytest.approx(drawn("bf16", 2)[0], rel=1e-2)


def test_the_answer_names_rates_joules_and_what_they_are_over_the_baseline(
    opened: OpenedRun, results: Results
) -> None:
    [first, second] = next(
        answer.sentences for answer in answers_in(opened, results, MODEL) if answer.question == RATES
    )
    assert first.startswith("bf16 under find-rate: ")
    assert "requests/s within end-to-end latency up to 300 ms" in first
    assert "more requests/s than bf16 (95 %:" in second
    assert "less J/request that kept them than bf16" in second
    page = render(opened)
    assert "the highest rate at which enough of the offered requests were good" in page
    header = opened.dir.summary.read_text().splitlines()[0]
    assert '"rate_found","rate_found_lo"' in header


def test_verify_judges_every_window_anew(study: VirtualStudy) -> None:
    kinds = {finding.kind for finding in verify(study.run).findings}
    assert kinds <= {"not_graded", "not_checked", "report_differs"}
    key = study.cells[0].key
    folder = study.run.cell(key)
    record = read_cell(folder)
    assert record.rate is not None
    windows = [*record.rate.windows]
    windows[1] = windows[1].model_copy(update={"says": "holds", "why": None})
    told = record.model_copy(
        update={"rate": record.rate.model_copy(update={"windows": windows, "rate": 4.0})}
    )
    [window, answer] = [finding.what for finding in search_findings(key, folder, told)]
    assert window.startswith("window 2 of the search (search/w02): cell.json says holds")
    assert answer == "cell.json says that 4 requests/s hold, and no window of the search says so"
    trace = folder / "search" / "w03" / "requests.parquet"
    kept = trace.read_bytes()
    rewrite(trace, lambda table: table.slice(1))
    [window] = [finding.what for finding in search_findings(key, folder, record)]
    trace.write_bytes(kept)
    assert window.endswith("(search/w03): its requests.parquet is not the file that was judged")


def test_where_no_rate_holds_that_is_the_result_and_nothing_else_of_the_cell_is_valid(
    tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    run = one_cell(tmp_path / "run", steady(0.5), slo={"ttft_ms": 100}).measure(patch)
    [row] = rows_of(run, "rate_found")
    assert (row["value"], row["reasons"]) == (None, ["no_rate_holds"])
    [joules] = rows_of(run, "j_per_request")
    assert not joules["valid"]
    assert "no_rate_holds" in joules["reasons"]
    opened = open_run(run)
    answers = {
        answer.question: answer.sentences for answer in answers_in(opened, read_results(opened), MODEL)
    }
    assert answers[RATES] == ("bf16 under find-rate: no rate keeps TTFT up to 100 ms",)


def test_where_a_rate_fails_that_one_at_a_time_would_keep_the_share_that_is_told_is_the_one_that_failed(
    tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    def crowd_fails(due_s: Floats, _: np.random.Generator) -> Served:
        end_s = due_s + np.where(np.diff(due_s, prepend=-np.inf) > 9, 0.05, 0.5)
        return Served(end_s, end_s)

    run = one_cell(tmp_path / "run", crowd_fails).measure(patch)
    [check] = rows_of(run, "check:no_rate_holds")
    assert not check["valid"]
    assert check["value"] < check["lo"] == 0.9


def test_where_the_highest_rate_that_is_allowed_holds_its_joules_count_and_the_rate_is_a_bound(
    tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    run = one_cell(tmp_path / "run", steady(0.05), most_qps=8).measure(patch)
    [row] = rows_of(run, "rate_found")
    assert (row["value"], row["valid"], row["reasons"]) == (8.0, False, ["rate_at_least"])
    [joules] = rows_of(run, "j_per_request_in_slo")
    assert joules["valid"]
    assert joules["value"] == pytest.approx(BUSY_W / 8, rel=0.2)
    opened = open_run(run)
    [answer] = [
        answer for answer in answers_in(opened, read_results(opened), MODEL) if answer.question == RATES
    ]
    assert (
        "at least 8.00 requests/s keep end-to-end latency up to 300 ms: no rate failed" in answer.sentences[0]
    )


def test_requests_that_are_refused_within_the_share_are_noted_and_spoil_nothing(
    tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    def refuses_some(due_s: Floats, _: np.random.Generator) -> Served:
        end_s = np.where(np.arange(due_s.size) % 25 == 7, np.nan, due_s + 0.05)
        return Served(end_s, end_s)

    run = one_cell(tmp_path / "run", refuses_some, most_qps=8).measure(patch)
    [check], [share] = rows_of(run, "check:errors"), rows_of(run, "good_share")
    assert (check["valid"], check["reasons"]) == (True, ["errors"])
    assert check["value"] > 0
    assert share["valid"]
    assert share["lo"] < share["value"] == pytest.approx(0.96, abs=0.01)
    assert rows_of(run, "j_per_request_in_slo")[0]["valid"]


def test_a_search_that_was_ended_counts_for_nothing_and_begins_anew(
    tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    ended = one_cell(tmp_path / "run", SERVERS["bf16"])

    def end_at_the_fifth(_: PlannedCell, __: LoadSpec) -> None:
        if len(ended.specs) == 4:
            raise KeyboardInterrupt

    ended.meets = end_at_the_fifth
    with pytest.raises(KeyboardInterrupt):
        ended.measure(patch)
    [cell] = ended.cells
    assert not ended.run.is_measured(cell.key)
    assert (ended.run.cell(cell.key) / "search" / "w04").is_dir()
    ended.meets = lambda _, __: None
    ended.measure(patch)
    record = read_cell(ended.run.cell(cell.key))
    assert record.rate is not None
    assert len(ended.specs) == 4 + len(record.rate.windows)
    folders = {path.name for path in (ended.run.cell(cell.key) / "search").iterdir()}
    assert folders == {Path(window.folder).name for window in record.rate.windows} - {""}


def test_rates_of_two_runs_are_compared_where_arrivals_are_alike_and_within_the_same_bounds(
    tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    first, better, *others = (
        one_cell(tmp_path / name, SERVERS[variant], **asked).measure(patch)
        for name, variant, asked in (
            ("first", "bf16", {"slo": {"e2e": "300ms"}}),
            ("better", "int8-bnb", {"slo": {"e2e_ms": 300}}),
            ("other", "bf16", {"slo": {"e2e": "0.4s"}}),
            ("capped", "bf16", {"max_in_flight": 64}),
        )
    )
    comparison = compare([first, better, *others])
    [difference, *_] = comparison.of("rate_found")
    assert difference.load == "find-rate"
    assert difference.estimate.ratio == pytest.approx(RATIO, rel=0.3)
    answers = answers_in(open_run(first), comparison.results[0], MODEL)
    [answer] = [answer.sentences[0] for answer in answers if answer.question == RATES]
    assert "(95 %, of its search: " in answer  # of one block
    alike, *unlike = comparison.others
    assert alike.asked == ()
    for run in unlike:
        assert [change.field for change in run.asked] == ["prompts.objective of find-rate"]
