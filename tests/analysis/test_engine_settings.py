"""What settings of the engine mean for the figures: speculation, and a prefix cache that the study asks for."""

from __future__ import annotations

import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.attribution.phase import PhaseFit, PhaseRows
from analysis.cells.cell import CellResult, analyse_cell
from analysis.cells.context import read_context
from analysis.cells.phase_metrics import FitRow, fit_variants, keep
from analysis.report import write_report
from analysis.tables import analyze
from tests.golden.world import World, write_rows
from tests.support.tables import row
from traces.cell import read_cell, write_cell
from traces.schemas import ENGINE
from traces.streams import read_trace

COUNTERS = ("drafts_total", "drafted_tokens_total", "accepted_tokens_total")


def served(world: World, **changes: object) -> None:
    """The engine of every cell says something else of itself."""
    for key in world.cell_keys():
        record = read_cell(world.run.cell(key))
        update = {"served": record.served.model_copy(update=changes), "files": {}}
        write_cell(world.run.cell(key), record.model_copy(update=update))


def test_the_rule_phase_has_no_figures_under_speculation_and_the_others_stand(small: World) -> None:
    served(small, speculation="ngram", engine_args={"speculative_config": {"method": "ngram"}})
    assert analyze(small.run).invalid == ()
    for name in ("phase_step_j", "energy_phase_measured_j", "phase_condition"):
        line = row(small.run, "closed-8", name)
        assert math.isnan(line.value)
        assert "phase_speculation" in line.reasons
    for rule in ("in_flight", "tokens"):
        assert row(small.run, "closed-8", f"energy_{rule}_measured_j").valid
    text = write_report(small.run).read_text()
    assert "phase does not hold, in_flight and tokens do" in text


def _fit_row(result: CellResult, *, counts: bool) -> FitRow:
    part = keep(result, valid=counts)
    assert part is not None
    assert part.input is not None
    rows = PhaseRows(part.key.load, part.input.work.stretches, part.input.busy_j)
    return FitRow(part.key, rows, part.counts, part.speculates)


def test_one_cell_that_speculates_keeps_its_whole_variant_from_the_fit(small: World) -> None:
    context, _ = read_context(small.run)
    results = [analyse_cell(small.run, key, context) for key in small.cell_keys()]
    cells = [_fit_row(result, counts=True) for result in results]
    assert {fit.reason for fit in fit_variants(cells).values()} != {"phase_speculation"}
    served(small, speculation="ngram")
    again = _fit_row(analyse_cell(small.run, small.cell_keys()[0], context), counts=False)
    assert set(fit_variants([*cells[1:], again]).values()) == {PhaseFit(None, None, "phase_speculation")}


def test_what_was_drafted_is_counted_within_the_window_alone(small: World) -> None:
    key = small.cell_keys()[1]
    truth, folder = small.truth[key], small.run.cell(key)
    rows = read_trace(folder, "engine").to_pylist()
    for reading in rows:
        inside = truth.start_ns <= reading["t_ns"]
        reading.update(zip(COUNTERS, (110.0, 550.0, 330.0) if inside else (10.0, 50.0, 30.0), strict=True))
    assert any(look["drafts_total"] == 10 for look in rows), "the engine was looked at before the window too"
    write_rows(folder, "engine", ENGINE, rows)
    analyze(small.run)
    assert row(small.run, "closed-8", "draft_accepted_share").value == pytest.approx(300 / 500)
    assert row(small.run, "closed-8", "tokens_per_draft").value == pytest.approx(1 + 300 / 100)
    assert "phase_speculation" in row(small.run, "closed-8", "phase_step_j").reasons, (
        "whoever started the engine"
    )
    with pytest.raises(AssertionError):  # no such row
        row(small.run, "single-stream", "tokens_per_draft")


@pytest.mark.parametrize("asked", [True, False])
def test_hits_of_a_prefix_cache_spoil_a_cell_unless_it_was_asked_for(small: World, asked: bool) -> None:
    served(small, prefix_cache=asked)
    folder = small.run.cell(small.cell_keys()[1])
    table = read_trace(folder, "requests")
    half = pa.array([count // 2 for count in table.column("prompt_tokens").to_pylist()], pa.int32())
    table = table.set_column(table.schema.get_field_index("cached_tokens"), "cached_tokens", half)
    pq.write_table(table, folder / "requests.parquet")
    invalid = {reason for cell in analyze(small.run).invalid for reason in cell.reasons}
    assert invalid == (set() if asked else {"prefix_cache_hit"})
    share = row(small.run, "closed-8", "prompt_cached_share")
    assert share.valid == asked
    assert share.value == pytest.approx(0.5, abs=0.05)
    assert row(small.run, "closed-8", "check:prefix_cache_hit").valid == asked
    assert ("which the study asks for" in write_report(small.run).read_text()) == asked
